//! `[sources.NAME]`: who may send, and the secrets that prove it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::check_name;
use super::limits;
use super::near::{list, near};
use super::problem::Problem;
use super::reader::{Entry, Notes, Table, whole_dollar_name};
use super::reference::{Reference, Resolver};
use super::settings::{inside, warn_of_literal};
use super::vendors;
use crate::ingest;
use crate::model::{OWN_SOURCE, Secret};
use crate::normalize::Sender;
use crate::verify::{
    self, Handshake, InvalidSecrets, Proof, SECRETS_MAX, Scheme, TokenIn, Verifier,
};

/// Most sources.
const SOURCES_MAX: usize = 1_000;
/// Most names that a message lists.
const NAMES_SHOWN_MAX: usize = 20;
/// Longest path of a source, in bytes.
const PATH_BYTES_MAX: usize = 256;
/// Smallest `body_max`, in bytes: a shorter limit would refuse ordinary events.
const BODY_BYTES_MIN: u64 = 1024;
/// Limits of `silent_after`.
const SILENT_MIN: Duration = Duration::from_secs(1);
const SILENT_MAX: Duration = Duration::from_secs(365 * 86_400);

/// Stands for a secret that a check does not look up; nothing is ever verified with it.
const NOT_LOOKED_UP: &str = "not looked up";

const SCHEMES_ARE: &str =
    "`dispatcher verify --list` names every scheme; one of your own is a table [schemes.NAME]";

/// A source and its first secret; empty where it needs none.
pub(super) type Source = (ingest::SourceSettings, Secret);

/// What every source is read with.
pub(super) struct Around<'a> {
    /// Longest body that the store can take, in bytes.
    pub(super) body_bytes_limit: u64,
    /// What senders see.
    pub(super) public_url: Option<&'a str>,
    /// The configuration's own schemes.
    pub(super) schemes: &'a [Arc<Scheme>],
    /// The configuration's own senders.
    pub(super) senders: &'a [Arc<Sender>],
    pub(super) resolver: &'a Resolver<'a>,
    /// Only this machine can connect, and no proxy on it is believed whom it speaks for.
    pub(super) only_this_machine: bool,
}

/// Reads every source.
pub(super) fn read(table: &Table<'_>, around: &Around<'_>, notes: &Notes) -> Vec<Source> {
    let mut paths: HashMap<String, String> = HashMap::new();
    let mut sources = Vec::new();
    for (index, (name, entry)) in table.all().into_iter().enumerate() {
        if index == SOURCES_MAX {
            let problem = Problem::error(format!("there are more than {SOURCES_MAX} sources"));
            notes.add(problem.at(entry.key, "one too many"));
            break;
        }
        check_name("source", name, &entry, notes);
        if name == OWN_SOURCE {
            let title = format!("a source cannot be named `{OWN_SOURCE}`");
            let problem = Problem::error(title).at(entry.key.clone(), "taken");
            notes.add(problem.help("it is the source of the daemon's own events"));
        }
        if let Some(table) = entry.table(notes) {
            let source = source(name, table, &mut paths, around, notes);
            sources.extend(source);
        }
    }
    sources
}

/// `None` when no verifier could be made; why is noted.
fn source(
    name: &str,
    mut table: Table<'_>,
    paths: &mut HashMap<String, String>,
    around: &Around<'_>,
    notes: &Notes,
) -> Option<Source> {
    let path = path(name, &mut table, paths, notes);
    let scheme = scheme(name, &mut table, around.schemes, notes);
    let scheme = token_in(scheme, &mut table, notes);
    let sender = sender(scheme.as_deref(), around.senders, &mut table, notes);
    let open = scheme.as_ref().is_some_and(|scheme| scheme.proof == Proof::None);
    let secrets = secrets(name, open, &mut table, around.resolver, notes);
    let limit = around.body_bytes_limit;
    let body_bytes_max = table
        .bytes("body_max", BODY_BYTES_MIN..=limit, notes)
        .unwrap_or(limit.min(ingest::BODY_BYTES_MAX as u64));
    let body_bytes_max = usize::try_from(body_bytes_max).unwrap_or(usize::MAX);
    let verify_token = verify_token(scheme.as_deref(), &mut table, around.resolver, notes);
    let asks = table.entry("handshake").and_then(|entry| entry.boolean(notes));
    let allow = limits::allow(&mut table, around, notes);
    let rates = limits::rates(&mut table, notes);
    let silent_after = table.duration("silent_after", SILENT_MIN..=SILENT_MAX, notes);
    let place = table.place.clone();
    table.finish(notes, |key| match key {
        "secret" | "token" | "key" => Some("a source's secrets are written `secrets`".to_owned()),
        _ => None,
    });
    let place_of_source = place.clone();
    let (scheme, sender) = (scheme?, sender?);
    // Why there is no secret has been noted already.
    let secrets = if open { Vec::new() } else { secrets? };
    let verifier = match verifier(&scheme, &secrets, around) {
        Ok(verifier) => verifier,
        Err(error) => {
            refuse_secrets(name, &scheme, error, place, notes);
            return None;
        }
    };
    refuse_any_body(&scheme, &sender, place_of_source, notes);
    let verifier = verifier.with_verify_token(verify_token.as_ref());
    let unasked = scheme.handshake.is_none_or(Handshake::is_answered_unasked);
    let handshake = asks.unwrap_or(unasked);
    let name = Arc::from(name);
    let settings = ingest::SourceSettings {
        name,
        path,
        verifier,
        handshake,
        sender,
        body_bytes_max,
        allow,
        rates,
        silent_after,
    };
    let first = secrets.into_iter().next().unwrap_or_else(|| Secret::new(""));
    Some((settings, first))
}

/// A secret that is not looked up has no form that could be checked, so that it stands for a scheme that
/// takes any text.
fn verifier(
    scheme: &Arc<Scheme>,
    secrets: &[Secret],
    around: &Around<'_>,
) -> Result<Verifier, InvalidSecrets> {
    let made = Verifier::new(scheme, secrets, around.public_url);
    let skipped = |number: usize| {
        secrets.get(number - 1).is_some_and(|secret| secret.expose() == NOT_LOOKED_UP)
    };
    match made {
        Err(InvalidSecrets::Form { number, .. }) if skipped(number) => {
            let stand_in =
                Scheme { proof: Proof::Token(TokenIn::Query("".into())), ..(**scheme).clone() };
            Verifier::new(&Arc::new(stand_in), secrets, around.public_url)
        }
        made => made,
    }
}

/// The token that the vendor shows when it asks by a GET, where it does.
fn verify_token(
    scheme: Option<&Scheme>,
    table: &mut Table<'_>,
    resolver: &Resolver<'_>,
    notes: &Notes,
) -> Option<Secret> {
    let entry = table.entry("verify_token")?;
    let scheme = scheme?;
    if scheme.handshake != Some(Handshake::MetaHubChallenge) {
        let title = format!("`{}` has no use here", entry.path);
        let label = format!("`{}` does not ask with such a token", scheme.name);
        entry.refuse(notes, &title, &label, "");
        return None;
    }
    secret(table.path.rsplit('.').next().unwrap_or_default(), &entry, resolver, notes)
}

/// A vendor whose question is answered with a signature could be made to sign any narrow text, which
/// must be no event then.
fn refuse_any_body(scheme: &Scheme, sender: &Sender, place: std::ops::Range<usize>, notes: &Notes) {
    if scheme.handshake == Some(Handshake::XCrc) && sender.takes_any_body() {
        let title = format!("`{}` cannot be read by sender `{}`", scheme.name, sender.name);
        let problem = Problem::error(title).at(place, "it takes bodies that are no JSON");
        notes
            .add(problem.help("whoever asks this source for its handshake could sign such a body"));
    }
}

fn refuse_secrets(
    name: &str,
    scheme: &Scheme,
    error: InvalidSecrets,
    place: std::ops::Range<usize>,
    notes: &Notes,
) {
    let problem = Problem::error(format!("source `{name}`: {error}"));
    notes.add(match error {
        InvalidSecrets::NoPublicUrl => {
            let label = format!("`{}` signs the address", scheme.name);
            problem.at(place, label).help(
                "write server.public_url = \"https://…\": what senders see, without the source's path",
            )
        }
        _ => problem.at(place, ""),
    });
}

fn path(
    name: &str,
    table: &mut Table<'_>,
    paths: &mut HashMap<String, String>,
    notes: &Notes,
) -> String {
    let entry = table.entry("path");
    let written = entry.as_ref().and_then(|entry| entry.string(notes));
    let path = written.map_or_else(|| format!("/{name}"), str::to_owned);
    let span = entry.map_or_else(|| table.place.clone(), |entry| entry.span);
    if let Err(label) = check_path(&path) {
        let title = format!("the path of source `{name}` is no path");
        notes.add(Problem::error(title).at(span, label));
        return path;
    }
    // With or without a slash at its end it is the same path.
    let key = path.trim_end_matches('/').to_owned();
    if let Some(other) = paths.insert(key, name.to_owned()) {
        let title = format!("sources `{other}` and `{name}` have the same path {path}");
        let problem = Problem::error(title).at(span, "taken already");
        notes.add(problem.help("give one of them another: path = \"/…\""));
    }
    path
}

/// A path that arrives as it is written: no query, no escapes, no empty or dotted part.
fn check_path(path: &str) -> Result<(), &'static str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&b);
    let Some(rest) = path.strip_prefix('/') else {
        return Err("must begin with `/`");
    };
    if path.len() > PATH_BYTES_MAX {
        return Err("must have at most 256 bytes");
    }
    if !path.bytes().all(plain) {
        return Err("may have letters, digits and -._~!$&'()*+,;=:@/ only");
    }
    let parts = rest.strip_suffix('/').unwrap_or(rest);
    if !rest.is_empty() && parts.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("must not have a part that is empty, `.` or `..`");
    }
    Ok(())
}

fn scheme(
    name: &str,
    table: &mut Table<'_>,
    own: &[Arc<Scheme>],
    notes: &Notes,
) -> Option<Arc<Scheme>> {
    // All files of vendors are read only to find a name that was meant.
    let all = || own.iter().chain(vendors::schemes());
    let known = |name: &str| {
        let own = own.iter().find(|scheme| &*scheme.name == name);
        own.or_else(|| vendors::scheme(name)).cloned()
    };
    let Some(entry) = table.entry("scheme") else {
        let scheme = known(name);
        if scheme.is_none() {
            let title = format!("source `{name}` does not say how its requests are signed");
            let problem = Problem::error(title).at(table.place.clone(), "no `scheme`").absence();
            let problem = match unsigned(name) {
                Some(help) => problem.help(help),
                None => match near(name, all().map(|scheme| &*scheme.name)) {
                    Some(near) => {
                        problem.help(format!("write scheme = \"{near}\" if that is meant"))
                    }
                    None => problem.help("write scheme = \"NAME\""),
                },
            };
            notes.add(problem.help(SCHEMES_ARE));
        }
        return scheme;
    };
    let written = entry.string(notes)?;
    let scheme = known(written);
    if scheme.is_none() {
        let label = match near(written, all().map(|scheme| &*scheme.name)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "no such scheme".to_owned(),
        };
        let title = format!("unknown scheme `{written}`");
        let help = unsigned(written).unwrap_or_else(|| SCHEMES_ARE.to_owned());
        entry.refuse(notes, &title, &label, &help);
    }
    warn_of_scheme(name, scheme.as_deref(), &entry, notes);
    scheme
}

/// What to write for a vendor that does not sign.
fn unsigned(name: &str) -> Option<String> {
    let scheme = vendors::unsigned(name)?;
    Some(format!("{name} does not sign: write scheme = \"{scheme}\""))
}

fn warn_of_scheme(name: &str, scheme: Option<&Scheme>, entry: &Entry<'_>, notes: &Notes) {
    if scheme.is_some_and(|scheme| scheme.proof == Proof::None) {
        let title = format!("source `{name}` lets everybody in");
        let problem = Problem::warning(title).at(entry.span.clone(), "nothing is verified");
        notes.add(problem.help("a secret in a header is better: scheme = \"token\""));
    }
}

/// The scheme with the place of its token, where it is one that leaves that open.
fn token_in(
    scheme: Option<Arc<Scheme>>,
    table: &mut Table<'_>,
    notes: &Notes,
) -> Option<Arc<Scheme>> {
    let Some(entry) = table.entry("token_in") else { return scheme };
    let written = entry.string(notes)?;
    let scheme = scheme?;
    if &*scheme.name != "token" {
        let title = format!("`{}` has no use here", entry.path);
        let label = format!("`{}` says itself where its secret stands", scheme.name);
        entry.refuse(notes, &title, &label, "it belongs to scheme = \"token\"");
        return None;
    }
    match verify::token_in(written) {
        Some(place) => {
            if let TokenIn::Query(_) = place {
                let title = format!("`{}` puts a secret into an address", entry.path);
                let problem = Problem::warning(title);
                let problem = problem.at(entry.span.clone(), "addresses end up in logs of proxies");
                notes.add(problem.help("if the sender can set a header: \"header:NAME\""));
            }
            Some(Arc::new(verify::token(place)))
        }
        None => {
            let title = format!("`{}` is no place for a token", entry.path);
            entry.refuse(notes, &title, "write \"header:NAME\" or \"query:NAME\"", "");
            None
        }
    }
}

fn sender(
    scheme: Option<&Scheme>,
    own: &[Arc<Sender>],
    table: &mut Table<'_>,
    notes: &Notes,
) -> Option<Arc<Sender>> {
    let named = |name: &str| {
        let own = own.iter().find(|sender| sender.name == name);
        own.or_else(|| vendors::sender(name)).cloned()
    };
    let Some(entry) = table.entry("sender") else {
        // Who signs in a vendor's own way also writes the vendor's own bodies.
        let vendor = scheme.and_then(|scheme| named(&scheme.name));
        return vendor.or_else(|| named("json"));
    };
    let written = entry.string(notes)?;
    let sender = named(written);
    if sender.is_none() {
        let names = own.iter().chain(vendors::senders()).map(|sender| &*sender.name);
        unknown(&entry, "sender", "senders", written, names, notes);
    }
    sender
}

/// Notes that a name is none of a known list.
pub(super) fn unknown<'c>(
    entry: &Entry<'_>,
    what: &str,
    plural: &str,
    written: &str,
    names: impl Iterator<Item = &'c str> + Clone,
    notes: &Notes,
) {
    let label = match near(written, names.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("no such {what}"),
    };
    let title = format!("unknown {what} `{written}`");
    let help = if names.clone().count() > NAMES_SHOWN_MAX {
        format!("all {plural} are listed in docs/reference/{plural}.md")
    } else {
        format!("{plural} are {}", list(names))
    };
    entry.refuse(notes, &title, &label, &help);
}

/// `None` when there is none that can be used; why is noted. `open`: none is needed.
fn secrets(
    name: &str,
    open: bool,
    table: &mut Table<'_>,
    resolver: &Resolver<'_>,
    notes: &Notes,
) -> Option<Vec<Secret>> {
    let Some(entry) = table.entry("secrets") else {
        if !open {
            let title = format!("source `{name}` has no secret");
            let variable = name.to_ascii_uppercase().replace('-', "_");
            let help = format!("write secrets = \"env:{variable}_SECRET\", and set that variable");
            let problem = Problem::error(title).at(table.place.clone(), "no `secrets`");
            notes.add(problem.absence().help(help));
        }
        return None;
    };
    if open {
        let title = format!("the secrets of source `{name}` are not used");
        notes.add(Problem::error(title).at(entry.key.clone(), "its scheme lets everybody in"));
        return None;
    }
    let mut entries = entry.one_or_more(notes);
    if entries.len() > SECRETS_MAX {
        let title = format!("source `{name}` has too many secrets");
        entry.refuse(notes, &title, &format!("at most {SECRETS_MAX}: remove the old ones"), "");
        entries.truncate(SECRETS_MAX);
    }
    let secrets = entries.iter().filter_map(|entry| secret(name, entry, resolver, notes));
    Some(secrets.collect::<Vec<_>>()).filter(|secrets| !secrets.is_empty())
}

fn secret(name: &str, entry: &Entry<'_>, resolver: &Resolver<'_>, notes: &Notes) -> Option<Secret> {
    let toml::de::DeValue::String(text) = entry.value else {
        // Whatever it is, it may be meant as a secret. Notes that it is no string.
        notes.mask(entry.span.clone());
        entry.string(notes);
        return None;
    };
    let Some(reference) = Reference::parse(text) else {
        not_a_reference(name, entry, text, notes);
        return None;
    };
    if let Reference::Literal(_) = reference {
        warn_of_literal(entry, notes);
    }
    if resolver.skips(reference, &entry.path, notes) {
        return Some(Secret::new(NOT_LOOKED_UP));
    }
    match resolver.resolve(reference) {
        Ok(secret) => {
            if secret.expose().trim() != secret.expose() {
                let title = format!("a secret of source `{name}` begins or ends with white space");
                let problem = Problem::warning(title).at(entry.span.clone(), "is that meant?");
                notes.add(problem);
            }
            Some(secret)
        }
        Err(unresolved) => {
            let title = format!("the secret of source `{name}` {}", unresolved.what);
            entry.refuse(notes, &title, &unresolved.label, &unresolved.help);
            None
        }
    }
}

/// Says what to write. Never shows the text unless it is `${NAME}` or `$NAME`: it may be the secret.
fn not_a_reference(name: &str, entry: &Entry<'_>, text: &str, notes: &Notes) {
    if let Some(variable) = whole_dollar_name(text) {
        let title = format!("`{text}` is not replaced in the secrets of source `{name}`");
        entry.refuse(notes, &title, &format!("write \"env:{variable}\""), "");
        return;
    }
    notes.mask(inside(&entry.span));
    let title = format!("a secret of source `{name}` stands here in plain text");
    let help = "or, if it must stand here: \"literal:…\"";
    entry.refuse(notes, &title, "write \"env:NAME\", \"file:PATH\" or \"credential:NAME\"", help);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_arrives_as_it_is_written() {
        for good in ["/", "/sqreen", "/sqreen/", "/a/b-c/~d.e", "/hooks;v=1"] {
            assert_eq!(check_path(good), Ok(()), "{good}");
        }
        let long = format!("/{}", "x".repeat(PATH_BYTES_MAX));
        for bad in [
            "", "sqreen", "/a b", "/a?b", "/a#b", "/a%20b", "/é", "//", "/a//b", "/a/../b", "/.",
            &long,
        ] {
            assert!(check_path(bad).is_err(), "{bad}");
        }
    }
}
