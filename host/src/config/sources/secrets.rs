//! The secrets of a source, and the verifier that checks requests with them.

use std::ops::Range;
use std::sync::Arc;

use super::super::environment::ENV_FILE;
use super::super::problem::Problem;
use super::super::reader::{Entry, Notes, Table, whole_dollar_name};
use super::super::reference::{EMPTY, Reference, Resolver};
use super::super::settings::{inside, warn_of_literal};
use super::super::vendors::{self, IssuedBy, Setup, Vendor};
use crate::model::{Secret, counted};
use crate::verify::{Handshake, InvalidSecrets, Proof, SECRETS_MAX, Scheme, TokenIn, Verifier};

/// What to do about an empty secret of a source.
const EMPTY_HELP: &str =
    "an empty secret would accept requests from anyone; use the secret that the sender shows";

/// Placeholder for a secret that `check` does not look up, or that cannot be read. Nothing is ever verified with it.
const NOT_LOOKED_UP: &str = "not looked up";
/// A secret with fewer bytes gets a warning.
const SECRET_BYTES_RECOMMENDED: usize = 16;

/// The secrets of a source.
#[derive(Default)]
pub(super) struct Secrets {
    pub(super) values: Vec<Secret>,
    /// For each of them, where it is from.
    origins: Vec<Origin>,
    /// Why one of them cannot be read or used.
    pub(super) unreadable: Option<String>,
    /// The verifier has one that was looked up, or needs none.
    pub(super) has_value: bool,
}

struct Origin {
    /// Its number in the configuration, from 1, and its place there.
    number: usize,
    place: Range<usize>,
    /// It is written there.
    is_literal: bool,
}

/// Why a secret is missing.
pub(super) enum NoSecret {
    /// The configuration is wrong, which has been noted.
    Refused,
    /// What the configuration names has no value, which has been noted: `its secret is not set`.
    Unreadable(String),
}

fn is_looked_up(secret: &Secret) -> bool {
    secret.expose() != NOT_LOOKED_UP
}

/// Makes the verifier, or returns `None` and notes why not. Each secret is judged by itself. If one that is not written in
/// the configuration is missing or wrong, [`Secrets::unreadable`] says why, and the verifier has the others.
pub(super) fn verifier(
    (name, scheme, public_url): (&str, &Arc<Scheme>, Option<&str>),
    secrets: &mut Secrets,
    verify_token: Result<Secret, NoSecret>,
    place: Range<usize>,
    notes: &Notes,
) -> Option<Verifier> {
    let (mut is_refused, mut good) = (false, Vec::new());
    for index in 0..secrets.values.len() {
        let value = &secrets.values[index];
        let refused = match Verifier::new(scheme, std::slice::from_ref(value), public_url) {
            Ok(_) if is_looked_up(value) => {
                good.push(value.clone());
                continue;
            }
            Err(InvalidSecrets::NoPublicUrl) => {
                let label = format!("scheme `{}` signs the address", scheme.name);
                let error = InvalidSecrets::NoPublicUrl;
                let problem = Problem::error(format!("source `{name}`: {error}")).at(place, label);
                notes.add(problem.help(
                    "write server.public_url = \"https://…\": the address that senders use, without the source's path",
                ));
                return None;
            }
            Err(error) if is_looked_up(value) => {
                refuse_secret(name, error, secrets.origins.get(index), notes)
            }
            _ => continue,
        };
        match refused {
            NoSecret::Refused => is_refused = true,
            NoSecret::Unreadable(why) => secrets.unreadable = Some(why),
        }
    }
    if is_refused {
        return None;
    }
    secrets.has_value = !good.is_empty() || secrets.values.is_empty();
    let made = if secrets.has_value {
        Verifier::new(scheme, &good, public_url).ok()?
    } else {
        without_secret(scheme, public_url)?
    };
    let verify_token = match verify_token {
        Ok(token) => Some(token),
        Err(NoSecret::Refused) => None,
        Err(NoSecret::Unreadable(why)) => {
            secrets.unreadable.get_or_insert(why);
            None
        }
    };
    Some(made.with_verify_token(verify_token.as_ref()))
}

/// A verifier for a source of which no secret is known. Nothing is verified with it.
fn without_secret(scheme: &Arc<Scheme>, public_url: Option<&str>) -> Option<Verifier> {
    let secret = [Secret::new(NOT_LOOKED_UP)];
    Verifier::new(scheme, &secret, public_url).ok().or_else(|| {
        // The placeholder has the wrong form for this scheme, and not for any text.
        let proof = Proof::Token(TokenIn::Query("".into()));
        Verifier::new(&Arc::new(Scheme { proof, ..(**scheme).clone() }), &secret, public_url).ok()
    })
}

/// The token that the vendor sends along with the GET request of its handshake.
pub(super) fn verify_token(
    name: &str,
    scheme: Option<&Scheme>,
    table: &mut Table<'_>,
    resolver: &Resolver<'_>,
    notes: &Notes,
) -> Result<Secret, NoSecret> {
    let entry = table.entry("verify_token").ok_or(NoSecret::Refused)?;
    let scheme = scheme.ok_or(NoSecret::Refused)?;
    if scheme.handshake != Some(Handshake::MetaHubChallenge) {
        let title = format!("`{}` does not apply to scheme `{}`", entry.path, scheme.name);
        entry.refuse(notes, &title, "the handshake of this scheme has no such token", "");
        return Err(NoSecret::Refused);
    }
    secret(name, None, &entry, resolver, notes)
}

/// Notes why a secret cannot be used.
fn refuse_secret(
    name: &str,
    mut error: InvalidSecrets,
    origin: Option<&Origin>,
    notes: &Notes,
) -> NoSecret {
    let Some(Origin { number: in_file, place, is_literal }) = origin else {
        return NoSecret::Refused;
    };
    if let InvalidSecrets::Empty { number } | InvalidSecrets::Form { number, .. } = &mut error {
        *number = *in_file;
    }
    let problem = Problem::error(format!("source `{name}`: {error}")).at(place.clone(), "");
    if *is_literal {
        notes.add(problem);
        return NoSecret::Refused;
    }
    notes.add(problem.of_a_source());
    NoSecret::Unreadable(error.to_string())
}

/// Returns `None` and notes why if no secret can be used.
pub(super) fn secrets(
    name: &str,
    scheme: Option<&Scheme>,
    table: &mut Table<'_>,
    resolver: &Resolver<'_>,
    notes: &Notes,
) -> Option<Secrets> {
    let open = scheme.is_some_and(|scheme| !scheme.has_secrets());
    let Some(entry) = table.entry("secrets") else {
        if !open {
            let title = format!("source `{name}` needs `secrets`");
            let variable = name.to_ascii_uppercase().replace('-', "_");
            let help = format!("write secrets = \"env:{variable}_SECRET\" and set this variable");
            let problem = Problem::error(title).at(table.place.clone(), "`secrets` is missing");
            notes.add(problem.absence("secrets").help(help));
        }
        return None;
    };
    if open {
        let title = format!("source `{name}` has secrets, but its scheme uses none");
        let is_published = scheme.is_some_and(Scheme::has_published_keys);
        let label =
            if is_published { "the sender's published keys verify" } else { "nothing is verified" };
        let problem = Problem::error(title).at(entry.key.clone(), label);
        notes.add(problem.help("remove `secrets`, or choose another scheme"));
        return None;
    }
    let mut entries = entry.one_or_more(notes);
    if entries.len() > SECRETS_MAX {
        let title = format!("source `{name}` has too many secrets");
        entry.refuse(notes, &title, &format!("at most {SECRETS_MAX}: remove the old ones"), "");
        entries.truncate(SECRETS_MAX);
    }
    let mut secrets = Secrets::default();
    for (index, entry) in entries.iter().enumerate() {
        match secret(name, scheme, entry, resolver, notes) {
            Ok(secret) => {
                let (place, is_literal) = (entry.span.clone(), is_literal(entry));
                secrets.values.push(secret);
                secrets.origins.push(Origin { number: index + 1, place, is_literal });
            }
            Err(NoSecret::Unreadable(why)) => {
                secrets.unreadable.get_or_insert(why);
            }
            Err(NoSecret::Refused) => {}
        }
    }
    if secrets.values.is_empty() && secrets.unreadable.is_some() {
        secrets.values.push(Secret::new(NOT_LOOKED_UP));
    }
    (!secrets.values.is_empty()).then_some(secrets)
}

/// `scheme`: the one that the secret is for; `None` for another use, or if it is unknown.
fn secret(
    name: &str,
    scheme: Option<&Scheme>,
    entry: &Entry<'_>,
    resolver: &Resolver<'_>,
    notes: &Notes,
) -> Result<Secret, NoSecret> {
    let toml::de::DeValue::String(text) = entry.value else {
        // A wrong type may still be a secret, so it is masked. `string` notes the wrong type.
        notes.mask(entry.span.clone());
        entry.string(notes);
        return Err(NoSecret::Refused);
    };
    let Some(reference) = Reference::parse(text) else {
        not_a_reference(name, entry, text, notes);
        return Err(NoSecret::Refused);
    };
    if let Reference::Literal(_) = reference {
        warn_of_literal(entry, notes);
    }
    if resolver.skips(reference, &entry.path, notes) {
        return Ok(Secret::new(NOT_LOOKED_UP));
    }
    match resolver.resolve(reference) {
        Ok(secret) => {
            if let Some(Accident { what, help }) = accident(secret.expose()) {
                let title = format!("a secret of source `{name}` {what}");
                let problem = Problem::warning(title);
                let problem = problem.at(entry.span.clone(), "it is part of the secret");
                notes.add(if help.is_empty() { problem } else { problem.help(help) });
            } else if let Some(scheme) = scheme {
                warn_of_short(name, scheme, secret.expose(), entry, notes);
            }
            Ok(secret)
        }
        Err(unresolved) => {
            let title = format!("the secret of source `{name}` {}", unresolved.problem);
            let vendor = scheme.and_then(|scheme| vendors::vendor(&scheme.name));
            let help = match (vendor, reference) {
                (Some(vendor), Reference::Env(variable)) if unresolved.problem == EMPTY => {
                    to_copy(vendor, variable).unwrap_or_else(|| EMPTY_HELP.to_owned())
                }
                _ if unresolved.problem == EMPTY => EMPTY_HELP.to_owned(),
                _ => unresolved.help,
            };
            let problem = Problem::error(&title).at(entry.span.clone(), unresolved.label);
            if unresolved.is_malformed || matches!(reference, Reference::Literal(_)) {
                notes.add(problem.help(help));
                return Err(NoSecret::Refused);
            }
            notes.add(problem.help(help).of_a_source());
            Err(NoSecret::Unreadable(format!("its secret {}", unresolved.problem)))
        }
    }
}

fn is_literal(entry: &Entry<'_>) -> bool {
    let toml::de::DeValue::String(text) = entry.value else { return false };
    matches!(Reference::parse(text), Some(Reference::Literal(_)))
}

/// Where the vendor's secret comes from, if the vendor shows it.
fn to_copy(vendor: &Vendor, variable: &str) -> Option<String> {
    let Setup { place, secret, issued_by, .. } = &vendor.setup;
    if *issued_by != Some(IssuedBy::Vendor) {
        return None;
    }
    let place = if place.is_empty() { String::new() } else { format!(" ({place})") };
    let vendor = vendor.short_name();
    Some(format!(
        "copy the {secret} that {vendor} shows you into {ENV_FILE}, after {variable}={place}"
    ))
}

/// Notes a secret that can be guessed. A token has the length that its vendor gave it.
fn warn_of_short(name: &str, scheme: &Scheme, secret: &str, entry: &Entry<'_>, notes: &Notes) {
    let is_issued = vendors::vendor(&scheme.name)
        .is_some_and(|vendor| vendor.setup.issued_by == Some(IssuedBy::Vendor));
    let (what, part) = match &scheme.proof {
        Proof::Token(_) if is_issued => return,
        Proof::Basic => ("the password of", secret.split_once(':').map_or(secret, |(_, it)| it)),
        _ => ("a secret of", secret),
    };
    if part.len() >= SECRET_BYTES_RECOMMENDED {
        return;
    }
    let length = counted(part.len() as u64, "byte", "bytes");
    let title = format!("{what} source `{name}` has only {length}");
    let label = format!("with fewer than {SECRET_BYTES_RECOMMENDED} it may be guessed");
    let help = "choose a longer one, such as the output of `openssl rand -hex 32`, and give it to the sender";
    notes.add(Problem::warning(title).at(entry.span.clone(), label).help(help));
}

/// What probably is in a secret by accident.
struct Accident {
    what: &'static str,
    help: &'static str,
}

fn accident(secret: &str) -> Option<Accident> {
    let is_quoted = ['"', '\'', '`'].iter().any(|quote| {
        let inner = secret.trim().strip_prefix(*quote);
        inner.is_some_and(|inner| inner.ends_with(*quote))
    });
    if secret.ends_with('\r') {
        let help = "a file has the line ends of Windows (CRLF): save it with LF";
        return Some(Accident { what: "ends with a carriage return", help });
    }
    if is_quoted {
        let help = "remove them: only in dispatcher.env a value may stand in quotes";
        return Some(Accident { what: "has quotes around it", help });
    }
    let what = "begins or ends with white space";
    (secret.trim() != secret).then_some(Accident { what, help: "" })
}

/// Notes what to write instead. Shows the text only if it is `${NAME}` or `$NAME`, because any other text may
/// be the secret.
fn not_a_reference(name: &str, entry: &Entry<'_>, text: &str, notes: &Notes) {
    if let Some(variable) = whole_dollar_name(text) {
        let title = format!("`{text}` is not expanded in the secrets of source `{name}`");
        entry.refuse(notes, &title, &format!("write \"env:{variable}\""), "");
        return;
    }
    notes.mask(inside(&entry.span));
    let title = format!("a secret of source `{name}` is in plain text");
    let help = "to keep it in this file, write \"literal:…\"";
    entry.refuse(notes, &title, "write \"env:NAME\", \"file:PATH\" or \"credential:NAME\"", help);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pasted_by_accident_is_named() {
        for (secret, expected) in [
            ("whsec_abc", ""),
            ("a\"b", ""),
            ("\"", ""),
            ("whsec_abc\r", "ends with a carriage return"),
            ("\"whsec_abc\"", "has quotes around it"),
            ("'whsec_abc' ", "has quotes around it"),
            (" whsec_abc", "begins or ends with white space"),
        ] {
            let found = accident(secret).map_or("", |accident| accident.what);
            assert_eq!(found, expected, "{secret:?}");
        }
    }
}
