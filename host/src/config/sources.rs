//! `[sources.NAME]`: who may send, and the secrets that prove it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::check_name;
use super::near::{list, near};
use super::problem::Problem;
use super::reader::{Entry, Notes, Table, whole_dollar_name};
use super::reference::{Reference, Resolver};
use super::settings::{inside, warn_of_literal};
use crate::ingest;
use crate::model::{OWN_SOURCE, Secret};
use crate::normalize::{self, Sender};
use crate::verify::{self, SCHEMES, SECRETS_MAX, Scheme, Verifier};

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

/// A source and its first secret.
pub(super) type Source = (ingest::SourceSettings, Secret);

/// Reads every source. `body_bytes_limit` is what the store can take, `senders` are the user's own.
pub(super) fn read(
    table: &Table<'_>,
    body_bytes_limit: u64,
    senders: &[Arc<Sender>],
    resolver: &Resolver<'_>,
    notes: &Notes,
) -> Vec<Source> {
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
            let source =
                source(name, table, &mut paths, body_bytes_limit, senders, resolver, notes);
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
    body_bytes_limit: u64,
    senders: &[Arc<Sender>],
    resolver: &Resolver<'_>,
    notes: &Notes,
) -> Option<Source> {
    let path = path(name, &mut table, paths, notes);
    let scheme = scheme(name, &mut table, notes);
    let sender = sender(name, scheme, senders, &mut table, notes);
    let secrets = secrets(name, &mut table, resolver, notes);
    let body_bytes_max = table
        .bytes("body_max", BODY_BYTES_MIN..=body_bytes_limit, notes)
        .unwrap_or(body_bytes_limit.min(ingest::BODY_BYTES_MAX as u64));
    let body_bytes_max = usize::try_from(body_bytes_max).unwrap_or(usize::MAX);
    let silent_after = table.duration("silent_after", SILENT_MIN..=SILENT_MAX, notes);
    let place = table.place.clone();
    table.finish(notes, |key| match key {
        "secret" | "token" | "key" => Some("a source's secrets are written `secrets`".to_owned()),
        _ => None,
    });
    let (scheme, sender) = (scheme?, sender?);
    let verifier = match Verifier::new(scheme, secrets.clone()) {
        Ok(verifier) => verifier,
        // Why there is no secret has been noted already.
        Err(_) if secrets.is_empty() => return None,
        Err(error) => {
            notes.add(Problem::error(format!("source `{name}`: {error}")).at(place, ""));
            return None;
        }
    };
    let name = Arc::from(name);
    let settings =
        ingest::SourceSettings { name, path, verifier, sender, body_bytes_max, silent_after };
    secrets.into_iter().next().map(|secret| (settings, secret))
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

fn scheme(name: &str, table: &mut Table<'_>, notes: &Notes) -> Option<&'static Scheme> {
    let names = || SCHEMES.iter().map(|scheme| scheme.name);
    let Some(entry) = table.entry("scheme") else {
        let scheme = verify::scheme(name);
        if scheme.is_none() {
            let title = format!("source `{name}` does not say how its requests are signed");
            let problem = Problem::error(title).at(table.place.clone(), "no `scheme`").absence();
            let help = format!("write scheme = \"NAME\"; schemes are {}", list(names()));
            notes.add(problem.help(help));
        }
        return scheme;
    };
    let written = entry.string(notes)?;
    let scheme = verify::scheme(written);
    if scheme.is_none() {
        unknown(&entry, "scheme", "schemes", written, names(), notes);
    }
    scheme
}

fn sender(
    source: &str,
    scheme: Option<&Scheme>,
    own: &[Arc<Sender>],
    table: &mut Table<'_>,
    notes: &Notes,
) -> Option<Arc<Sender>> {
    let named = |name: &str| {
        let own = own.iter().find(|sender| sender.name == name);
        own.or_else(|| normalize::sender(name)).cloned()
    };
    let Some(entry) = table.entry("sender") else {
        // Who signs in a vendor's own way also writes the vendor's own bodies.
        let vendor = scheme.and_then(|scheme| named(scheme.name));
        return vendor.or_else(|| named(source)).or_else(|| named("json"));
    };
    let written = entry.string(notes)?;
    let sender = named(written);
    if sender.is_none() {
        let names = own.iter().chain(normalize::presets()).map(|sender| &*sender.name);
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

fn secrets(
    name: &str,
    table: &mut Table<'_>,
    resolver: &Resolver<'_>,
    notes: &Notes,
) -> Vec<Secret> {
    let Some(entry) = table.entry("secrets") else {
        let title = format!("source `{name}` has no secret");
        let variable = name.to_ascii_uppercase().replace('-', "_");
        let help = format!("write secrets = \"env:{variable}_SECRET\", and set that variable");
        notes.add(
            Problem::error(title).at(table.place.clone(), "no `secrets`").absence().help(help),
        );
        return Vec::new();
    };
    let mut entries = entry.one_or_more(notes);
    if entries.len() > SECRETS_MAX {
        let title = format!("source `{name}` has too many secrets");
        entry.refuse(notes, &title, &format!("at most {SECRETS_MAX}: remove the old ones"), "");
        entries.truncate(SECRETS_MAX);
    }
    entries.iter().filter_map(|entry| secret(name, entry, resolver, notes)).collect()
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
