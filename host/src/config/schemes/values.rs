//! Reads the values of a scheme's keys: choices, headers, signed parts, keys and times.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::{HeaderName, Method};

use super::super::naming::unknown;
use super::super::reader::{Entry, Notes, Table};
use crate::normalize::has_valid_escapes;
use crate::verify::{
    Algorithm, Encoding, Handshake, KeyForm, Part, Spot, Stamp, StampIn, Text, Unit,
};

/// Limits of `tolerance`.
pub(in crate::config) const TOLERANCE: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(7 * 86_400);
/// What most vendors recommend, in seconds.
const TOLERANCE_S: u32 = 300;

const ALGORITHMS: [(&str, Algorithm); 5] = [
    ("hmac-sha256", Algorithm::HmacSha256),
    ("hmac-sha512", Algorithm::HmacSha512),
    ("hmac-sha1", Algorithm::HmacSha1),
    ("ed25519", Algorithm::Ed25519),
    ("ecdsa-p256", Algorithm::EcdsaP256),
];
pub(super) const ENCODINGS: [(&str, Encoding); 2] =
    [("hex", Encoding::Hex), ("base64", Encoding::Base64)];
const UNITS: [(&str, Unit); 4] = [
    ("seconds", Unit::Seconds),
    ("milliseconds", Unit::Millis),
    ("rfc3339", Unit::Rfc3339),
    ("http-date", Unit::HttpDate),
];
pub(super) const HANDSHAKES: [(&str, Handshake); 12] = [
    ("slack-url-verification", Handshake::SlackUrlVerification),
    ("zoom-url-validation", Handshake::ZoomUrlValidation),
    ("twitch-challenge", Handshake::TwitchChallenge),
    ("meta-hub-challenge", Handshake::MetaHubChallenge),
    ("discord-ping", Handshake::DiscordPing),
    ("github-ping", Handshake::GithubPing),
    ("okta-verification", Handshake::OktaVerification),
    ("hcp-test", Handshake::HcpTest),
    ("notion-token", Handshake::NotionToken),
    ("asana-secret", Handshake::AsanaSecret),
    ("event-grid-validation", Handshake::EventGridValidation),
    ("x-crc", Handshake::XCrc),
];
const KEYS: [&str; 5] = ["text", "hex", "base64", "time-and-text", "public-key"];
/// What can be signed; a text follows those with a colon.
const PARTS: [&str; 19] = [
    "body",
    "time",
    "id",
    "method",
    "url",
    "url-any-port",
    "url-unescaped",
    "path",
    "body-sha256",
    "sorted-form:",
    "literal:",
    "header:",
    "listed-headers:",
    "body:",
    "form:",
    "query:",
    "value:",
    "open-value:",
    "time-if-sent:",
];

pub(super) fn algorithm(table: &mut Table<'_>, notes: &Notes) -> Algorithm {
    choice(table, "algorithm", &ALGORITHMS, notes).unwrap_or(Algorithm::HmacSha256)
}

/// One value of a list.
pub(super) fn choice<T: Copy>(
    table: &mut Table<'_>,
    key: &'static str,
    list: &[(&str, T)],
    notes: &Notes,
) -> Option<T> {
    let entry = table.entry(key)?;
    let written = entry.string(notes)?;
    let found = list.iter().find(|(name, _)| *name == written).map(|(_, value)| *value);
    if found.is_none() {
        unknown(
            &entry,
            key,
            &format!("values of `{key}`"),
            written,
            list.iter().map(|(n, _)| *n),
            notes,
        );
    }
    found
}

/// `None` if there is no entry or it could not be read.
pub(super) fn header_names(entry: Option<Entry<'_>>, notes: &Notes) -> Option<Vec<HeaderName>> {
    let entries = entry?.one_or_more(notes);
    let names = entries.iter().filter_map(|entry| header_name(entry, entry.string(notes)?, notes));
    Some(names.collect::<Vec<_>>()).filter(|names| !names.is_empty())
}

fn header_name(entry: &Entry<'_>, text: &str, notes: &Notes) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(text.as_bytes()).ok();
    if name.is_none() {
        entry.refuse(
            notes,
            &format!("`{}` is not a valid header name", entry.path),
            "cannot be sent",
            "",
        );
    }
    name
}

pub(super) fn separator(entry: &Entry<'_>, notes: &Notes) -> Option<u8> {
    match entry.string(notes)?.as_bytes() {
        [byte] if byte.is_ascii_punctuation() || *byte == b' ' => Some(*byte),
        _ => {
            let title = format!("`{}` is not a valid separator", entry.path);
            entry.refuse(notes, &title, "write one character: \",\", \";\" or \" \"", "");
            None
        }
    }
}

pub(super) fn key(table: &mut Table<'_>, algorithm: Algorithm, notes: &Notes) -> Option<KeyForm> {
    let public = KeyForm::Public { prefix: "".into() };
    let Some(entry) = table.entry("key") else {
        return Some(if algorithm.is_symmetric() { KeyForm::Text } else { public });
    };
    let written = entry.string(notes)?;
    let (kind, prefix) = written.split_once(':').unwrap_or((written, ""));
    let prefix = prefix.to_owned().into();
    let form = match kind {
        "text" => KeyForm::Text,
        "hex" => KeyForm::Hex,
        "base64" => KeyForm::Base64 { prefix },
        "time-and-text" => KeyForm::StampThenText,
        "public-key" => KeyForm::Public { prefix },
        _ => {
            unknown(&entry, "key", "values of `key`", written, KEYS.into_iter(), notes);
            return None;
        }
    };
    let is_public = matches!(form, KeyForm::Public { .. });
    if is_public == algorithm.is_symmetric() {
        let title = format!("`{}` does not fit the algorithm", entry.path);
        let label = if is_public { "HMAC has no public key" } else { "needs \"public-key\"" };
        entry.refuse(notes, &title, label, "");
        return None;
    }
    Some(form)
}

pub(super) fn parts(entry: &Entry<'_>, notes: &Notes) -> Vec<Part> {
    entry.one_or_more(notes).iter().filter_map(|entry| part(entry, notes)).collect()
}

fn part(entry: &Entry<'_>, notes: &Notes) -> Option<Part> {
    let written = entry.string(notes)?;
    Some(match written {
        "body" => Part::Body,
        "time" => Part::Stamp,
        "id" => Part::Id,
        "method" => Part::Method,
        "url" => Part::Url,
        "url-any-port" => Part::UrlAnyPort,
        "url-unescaped" => Part::UrlDecoded,
        "path" => Part::Path,
        "body-sha256" => Part::BodySha256Hex,
        _ => match written.split_once(':') {
            Some(("sorted-form", field)) if !field.is_empty() => {
                Part::SortedForm { always: field.to_owned().into() }
            }
            Some(("literal", text)) => Part::Literal(text.to_owned().into()),
            Some(("header", name)) => Part::Header(header_name(entry, name, notes)?),
            Some(("listed-headers", name)) => Part::ListedHeaders(header_name(entry, name, notes)?),
            Some(("body" | "form" | "query", _)) => Part::Text(spots(entry, written, notes)?),
            Some((kind @ ("value" | "open-value"), pointer)) => Part::Value {
                pointer: self::pointer(entry, pointer, &format!("{kind}:"), notes)?,
                open: kind == "open-value",
            },
            Some(("time-if-sent", behind)) => Part::StampIfSent(behind.to_owned().into()),
            _ => {
                unknown(entry, "part", "parts", written, PARTS.into_iter(), notes);
                return None;
            }
        },
    })
}

/// Places in the body or the query, joined by `|`: the first one that is there counts.
pub(super) fn spots(entry: &Entry<'_>, text: &str, notes: &Notes) -> Option<Vec<Spot>> {
    let spot = |text: &str| match text.split_once(':') {
        Some(("body", pointer)) => self::pointer(entry, pointer, "body:", notes).map(Spot::Json),
        Some(("form", name)) if !name.is_empty() => Some(Spot::Form(name.to_owned().into())),
        Some(("query", name)) if !name.is_empty() => Some(Spot::Query(name.to_owned().into())),
        _ => {
            let title = format!("`{}` is not a valid place", entry.path);
            let label = "write \"body:/POINTER\", \"form:NAME\" or \"query:NAME\"";
            entry.refuse(notes, &title, label, "several are joined by `|`: the first one counts");
            None
        }
    };
    text.split('|').map(spot).collect()
}

/// A JSON pointer; `before` is the text before it in the same value.
pub(super) fn pointer(entry: &Entry<'_>, text: &str, before: &str, notes: &Notes) -> Option<Text> {
    let is_pointer = text.len() > 1 && text.starts_with('/');
    if is_pointer && has_valid_escapes(text) {
        return Some(text.to_owned().into());
    }
    if is_pointer {
        refuse_escape(entry, notes);
        return None;
    }
    let title = format!("`{}` is not a JSON pointer", entry.path);
    let label = format!("write {before}/NAME or {before}/NAME/NAME");
    entry.refuse(notes, &title, &label, "");
    None
}

/// Refuses a pointer with a `~` that stands for nothing.
pub(in crate::config) fn refuse_escape(entry: &Entry<'_>, notes: &Notes) {
    let title = format!("`{}` is not a JSON pointer", entry.path);
    let label = "a `~` is followed by neither 0 nor 1";
    entry.refuse(notes, &title, label, "in a name, write ~0 for `~` and ~1 for `/`");
}

pub(super) fn stamp(table: &mut Table<'_>, signed: &[Part], notes: &Notes) -> Option<Stamp> {
    let unit = choice(table, "time_unit", &UNITS, notes).unwrap_or(Unit::Seconds);
    let seconds = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(TOLERANCE_S);
    let past = table.duration("tolerance", TOLERANCE, notes).map_or(TOLERANCE_S, seconds);
    let future = table.duration("tolerance_future", TOLERANCE, notes).map_or(past, seconds);
    let optional_entry = table.entry("time_optional");
    let optional = optional_entry.as_ref().and_then(|entry| entry.boolean(notes)).unwrap_or(false);
    let entry = table.entry("time")?;
    let place = stamp_place(&entry, notes)?;
    let in_body = |spot: &Spot| !matches!(spot, Spot::Query(_));
    let absence_is_signed = matches!(&place, StampIn::Inside(spots) if spots.iter().all(in_body))
        || signs_absence(signed, unit);
    if let (true, Some(entry), false) = (optional, optional_entry, absence_is_signed) {
        // Anyone with a captured request could move the time from its header into the body.
        let title = format!("`{}` cannot be set here", entry.path);
        let label = "only a time in the body, or a number signed before \"body\", may be optional";
        let help = "write signed = [\"time-if-sent:TEXT\", \"body\"]; TEXT does not begin with a digit, and only \
                    literals may be before it";
        entry.refuse(notes, &title, label, help);
    }
    // Whether it is covered depends on the whole scheme, which sets it.
    Some(Stamp { place, unit, past_s: past, future_s: future, covered: true, optional })
}

/// Whether a request without a time cannot be one whose time was moved from its header into the part behind it:
/// that must be the body, which is refused if it begins like a time.
fn signs_absence(signed: &[Part], unit: Unit) -> bool {
    let is_fixed = |part: &&Part| matches!(part, Part::Literal(_) | Part::Method);
    let begins = signed.iter().take_while(is_fixed).count();
    let is_clear = |behind: &str| behind.starts_with(|first: char| !first.is_ascii_digit());
    matches!(unit, Unit::Seconds | Unit::Millis)
        && matches!(&signed[begins..], [Part::StampIfSent(behind), Part::Body, ..] if is_clear(behind))
}

/// One place, or a list of headers, of which the first that is sent counts.
fn stamp_place(entry: &Entry<'_>, notes: &Notes) -> Option<StampIn> {
    let entries = entry.one_or_more(notes);
    if let [one] = entries.as_slice() {
        let written = one.string(notes)?;
        match written.split_once(':') {
            Some(("element", mark)) if !mark.is_empty() => {
                return Some(StampIn::Element(mark.to_owned().into()));
            }
            Some(("body" | "form" | "query", _)) => {
                return Some(StampIn::Inside(spots(one, written, notes)?));
            }
            _ => {}
        }
    }
    let mut names = Vec::new();
    for entry in &entries {
        let Some(("header", name)) = entry.string(notes)?.split_once(':') else {
            let title = format!("`{}` is not a valid place for a time", entry.path);
            let label = "write \"header:NAME\", \"element:t=\" or \"body:/POINTER\"";
            entry.refuse(notes, &title, label, "");
            return None;
        };
        names.push(header_name(entry, name, notes)?);
    }
    (!names.is_empty()).then_some(StampIn::Headers(names))
}

/// `None` if they are not given.
pub(in crate::config) fn methods(table: &mut Table<'_>, notes: &Notes) -> Option<Vec<Method>> {
    let entry = table.entry("methods")?;
    let known = [Method::POST, Method::PUT, Method::PATCH, Method::GET, Method::DELETE];
    let entries = entry.one_or_more(notes);
    let method = |entry: &Entry<'_>| {
        let written = entry.string(notes)?;
        let found = known.iter().find(|method| method.as_str() == written).cloned();
        if found.is_none() {
            let names = known.iter().map(Method::as_str);
            unknown(entry, "method", "methods", written, names, notes);
        }
        found
    };
    let methods: Vec<Method> = entries.iter().filter_map(method).collect();
    Some(methods).filter(|methods| !methods.is_empty())
}
