//! `[schemes.NAME]`: ways to sign that no preset knows, described in the words of the presets' own record.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};

use super::naming::{check_name, unknown};
use super::problem::Problem;
use super::reader::{Entry, Notes, Table};
use crate::verify::{
    self, Algorithm, Encoding, KeyForm, Mark, Part, Place, Proof, Scheme, Signature, Stamp,
    StampIn, Unit,
};

/// Most schemes of one's own.
const SCHEMES_MAX: usize = 100;
/// Limits of `tolerance`.
const TOLERANCE_MIN: Duration = Duration::from_secs(1);
const TOLERANCE_MAX: Duration = Duration::from_secs(7 * 86_400);
/// As most vendors have it, in seconds.
const TOLERANCE_S: u32 = 300;

const ALGORITHMS: [(&str, Algorithm); 5] = [
    ("hmac-sha256", Algorithm::HmacSha256),
    ("hmac-sha512", Algorithm::HmacSha512),
    ("hmac-sha1", Algorithm::HmacSha1),
    ("ed25519", Algorithm::Ed25519),
    ("ecdsa-p256", Algorithm::EcdsaP256),
];
const ENCODINGS: [(&str, Encoding); 2] = [("hex", Encoding::Hex), ("base64", Encoding::Base64)];
const UNITS: [(&str, Unit); 4] = [
    ("seconds", Unit::Seconds),
    ("milliseconds", Unit::Millis),
    ("rfc3339", Unit::Rfc3339),
    ("http-date", Unit::HttpDate),
];
const KEYS: [&str; 5] = ["text", "hex", "base64", "time-and-text", "public-key"];
/// What can be signed; those with a colon take a text behind it.
const PARTS: [&str; 14] = [
    "body",
    "time",
    "id",
    "method",
    "url",
    "url-any-port",
    "url-unescaped",
    "path",
    "sorted-form",
    "body-sha256",
    "literal:",
    "header:",
    "listed-headers:",
    "body:",
];

/// Reads every scheme of one's own.
pub(super) fn read(table: &Table<'_>, notes: &Notes) -> Vec<Arc<Scheme>> {
    let mut schemes = Vec::new();
    for (index, (name, entry)) in table.all().into_iter().enumerate() {
        if index == SCHEMES_MAX {
            let problem = Problem::error(format!("there are more than {SCHEMES_MAX} schemes"));
            notes.add(problem.at(entry.key, "one too many"));
            break;
        }
        check_name("scheme", name, &entry, notes);
        if verify::scheme(name).is_some() {
            let title = format!("scheme `{name}` is a preset, which cannot be replaced");
            let problem = Problem::error(title).at(entry.key.clone(), "taken");
            notes.add(
                problem.help("give yours another name, and write scheme = \"NAME\" in the source"),
            );
        }
        if let Some(table) = entry.table(notes) {
            schemes.extend(scheme(name, table, notes).map(Arc::new));
        }
    }
    schemes
}

/// `None` when something that it cannot be without is missing or wrong; that is noted.
fn scheme(name: &str, mut table: Table<'_>, notes: &Notes) -> Option<Scheme> {
    let place = table.place.clone();
    let header = table.entry("header");
    let headers = header_names(header.clone(), notes);
    let algorithm = choice(&mut table, "algorithm", &ALGORITHMS, notes);
    let algorithm = algorithm.unwrap_or(Algorithm::HmacSha256);
    let prefix = table.entry("prefix").and_then(|entry| entry.string(notes)).unwrap_or_default();
    let separator = table.entry("separator").and_then(|entry| separator(&entry, notes));
    let encoding = choice(&mut table, "encoding", &ENCODINGS, notes).unwrap_or(Encoding::Hex);
    let key = key(&mut table, algorithm, notes);
    let id = header_names(table.entry("id"), notes).unwrap_or_default();
    let signed_entry = table.entry("signed");
    let signed =
        signed_entry.as_ref().map_or_else(|| vec![Part::Body], |entry| parts(entry, notes));
    let stamp = stamp(&mut table, notes);
    let methods = methods(&mut table, notes);
    table.finish(notes, |key| match key {
        "secret" | "secrets" => Some("secrets belong to the source: [sources.NAME]".to_owned()),
        "timestamp" => Some("the time is written `time`".to_owned()),
        "parts" | "message" => Some("what is signed is written `signed`".to_owned()),
        _ => None,
    });
    if header.is_some() && headers.is_none() {
        // What is wrong with it has been said.
        return None;
    }
    let Some(headers) = headers else {
        let title = format!("scheme `{name}` does not say where its signature stands");
        let problem = Problem::error(title).at(place, "no `header`").absence();
        notes.add(problem.help("write header = \"X-NAME-Signature\""));
        return None;
    };
    let mark = Mark { text: prefix.to_owned().into(), algorithm, key: key? };
    let place_of = Place::First(headers);
    let mut signature =
        Signature { place: place_of, separator, marks: vec![mark], encoding, signed, stamp };
    let span = signed_entry.map_or(place, |entry| entry.span);
    check(name, &mut signature, &id, span, notes);
    Some(Scheme {
        name: name.into(),
        unconfirmed: false,
        methods,
        proof: Proof::Signature(signature),
        id,
        handshake: None,
        remark: "".into(),
    })
}

/// What fits together, and what does not.
fn check(
    name: &str,
    signature: &mut Signature,
    id: &[HeaderName],
    at: std::ops::Range<usize>,
    notes: &Notes,
) {
    let refuse = |title: String, label: &str, help: &str| {
        notes.add(Problem::error(title).at(at.clone(), label).help(help));
    };
    let uses = |part: &Part| signature.signed.contains(part);
    let late = signature.marks.iter().any(|mark| mark.key == KeyForm::StampThenText);
    if signature.stamp.is_none() && (uses(&Part::Stamp) || late) {
        let title = format!("scheme `{name}` signs a time and does not say where it stands");
        refuse(
            title,
            "no `time`",
            "write time = \"header:NAME\", \"element:t=\" or \"body:/POINTER\"",
        );
    }
    if id.is_empty() && uses(&Part::Id) {
        let title = format!("scheme `{name}` signs an id and does not say where it stands");
        refuse(title, "no `id`", "write id = \"NAME-OF-THE-HEADER\"");
    }
    if !signature.covers_content() {
        let title = format!("scheme `{name}` does not sign the content");
        let problem = Problem::warning(title).at(at.clone(), "nothing of the body is here");
        notes.add(problem.help("whoever has seen one request can send any other in its place"));
    }
    let covered = signature.covers_stamp();
    if let Some(stamp) = &mut signature.stamp {
        stamp.covered = covered;
        if !covered {
            let title = format!("scheme `{name}` does not sign its time");
            let problem = Problem::warning(title).at(at, "no \"time\" here");
            notes.add(problem.help("anybody can write another one, so that it is not looked at"));
        }
    }
}

/// A value out of a list of names.
fn choice<T: Copy>(
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

/// `None` when there is no entry, or none that could be read.
fn header_names(entry: Option<Entry<'_>>, notes: &Notes) -> Option<Vec<HeaderName>> {
    let entries = entry?.one_or_more(notes);
    let names = entries.iter().filter_map(|entry| header_name(entry, entry.string(notes)?, notes));
    Some(names.collect::<Vec<_>>()).filter(|names| !names.is_empty())
}

fn header_name(entry: &Entry<'_>, text: &str, notes: &Notes) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(text.as_bytes()).ok();
    if name.is_none() {
        entry.refuse(
            notes,
            &format!("`{}` is no name of a header", entry.path),
            "cannot be sent",
            "",
        );
    }
    name
}

fn separator(entry: &Entry<'_>, notes: &Notes) -> Option<u8> {
    match entry.string(notes)?.as_bytes() {
        [byte] if byte.is_ascii_punctuation() || *byte == b' ' => Some(*byte),
        _ => {
            let title = format!("`{}` is no separator", entry.path);
            entry.refuse(notes, &title, "write one character: \",\", \";\" or \" \"", "");
            None
        }
    }
}

fn key(table: &mut Table<'_>, algorithm: Algorithm, notes: &Notes) -> Option<KeyForm> {
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

fn parts(entry: &Entry<'_>, notes: &Notes) -> Vec<Part> {
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
        "sorted-form" => Part::SortedForm,
        "body-sha256" => Part::BodySha256Hex,
        _ => match written.split_once(':') {
            Some(("literal", text)) => Part::Literal(text.to_owned().into()),
            Some(("header", name)) => Part::Header(header_name(entry, name, notes)?),
            Some(("listed-headers", name)) => Part::ListedHeaders(header_name(entry, name, notes)?),
            Some(("body", pointer)) => Part::BodyText(self::pointer(entry, pointer, notes)?),
            _ => {
                unknown(entry, "part", "parts", written, PARTS.into_iter(), notes);
                return None;
            }
        },
    })
}

fn pointer(entry: &Entry<'_>, text: &str, notes: &Notes) -> Option<verify::Text> {
    if text.len() > 1 && text.starts_with('/') {
        return Some(text.to_owned().into());
    }
    let title = format!("`{}` has no JSON pointer", entry.path);
    entry.refuse(notes, &title, "write body:/NAME or body:/NAME/NAME", "");
    None
}

fn stamp(table: &mut Table<'_>, notes: &Notes) -> Option<Stamp> {
    let unit = choice(table, "time_unit", &UNITS, notes).unwrap_or(Unit::Seconds);
    let limits = TOLERANCE_MIN..=TOLERANCE_MAX;
    let seconds = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(TOLERANCE_S);
    let past = table.duration("tolerance", limits.clone(), notes).map_or(TOLERANCE_S, seconds);
    let future = table.duration("tolerance_future", limits, notes).map_or(past, seconds);
    let optional_entry = table.entry("time_optional");
    let optional = optional_entry.as_ref().and_then(|entry| entry.boolean(notes)).unwrap_or(false);
    let entry = table.entry("time")?;
    let written = entry.string(notes)?;
    let place = match written.split_once(':') {
        Some(("header", name)) => StampIn::Headers(vec![header_name(&entry, name, notes)?]),
        Some(("element", mark)) if !mark.is_empty() => StampIn::Element(mark.to_owned().into()),
        Some(("body", text)) => StampIn::Body(pointer(&entry, text, notes)?),
        _ => {
            let title = format!("`{}` is no place for a time", entry.path);
            let label = "write \"header:NAME\", \"element:t=\" or \"body:/POINTER\"";
            entry.refuse(notes, &title, label, "");
            return None;
        }
    };
    if let (true, Some(entry), false) =
        (optional, optional_entry, matches!(place, StampIn::Body(_)))
    {
        // Whoever caught a request could leave its time out, and write it into the body instead.
        let title = format!("`{}` cannot be here", entry.path);
        entry.refuse(notes, &title, "only a time inside the body may be missing", "");
    }
    Some(Stamp { place, unit, past_s: past, future_s: future, covered: true, optional })
}

fn methods(table: &mut Table<'_>, notes: &Notes) -> Vec<Method> {
    let Some(entry) = table.entry("methods") else { return vec![Method::POST] };
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
    entries.iter().filter_map(method).collect()
}
