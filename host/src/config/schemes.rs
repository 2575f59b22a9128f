//! Reads `[schemes.NAME]`: how a sender signs that is not built in.
//!
//! `[scheme]` of the vendors' files is read by the same code, so both have the same keys.

mod values;

use std::ops::Range;
use std::sync::Arc;

use http::{HeaderName, Method};

use super::naming::named_by_user;
use super::problem::Problem;
use super::reader::{Entry, Notes, Table};
use super::tokens;
use crate::verify::{
    Handshake, KeyForm, Mark, Part, Place, Proof, Scheme, Signature, Sns, Stamp, StampIn, Text,
    TokenIn,
};
use values::{
    ENCODINGS, HANDSHAKES, algorithm, choice, header_names, key, parts, separator, spots, stamp,
};
pub(super) use values::{TOLERANCE, methods, refuse_escape};

/// Most schemes in a configuration.
const SCHEMES_MAX: usize = 100;
/// Who signs with certificates of their own.
const CERTIFICATES: [(&str, ()); 1] = [("amazon-sns", ())];
/// Most versions of a signature.
const VERSIONS_MAX: usize = 8;

/// A scheme, and the position of `signed` in the file.
pub(super) type Placed = (Arc<Scheme>, Range<usize>);

/// Reads every scheme of the configuration. A name that is built in is refused.
pub(super) fn read(
    table: &Table<'_>,
    is_built_in: impl Fn(&str) -> bool,
    notes: &Notes,
) -> Vec<Placed> {
    let mut schemes = Vec::new();
    for (name, entry) in named_by_user(table, "scheme", SCHEMES_MAX, is_built_in, notes) {
        if let Some(table) = entry.table(notes) {
            schemes.extend(placed(name, table, notes).map(|(scheme, at)| (Arc::new(scheme), at)));
        }
    }
    schemes
}

/// Warns of each scheme that does not sign the content of all requests that its sources take. `used` are the schemes of
/// the sources, with their own `methods`.
pub(super) fn warn_of_content<'s>(
    schemes: &[Placed],
    used: impl Iterator<Item = &'s Scheme> + Clone,
    notes: &Notes,
) {
    let is_open = |scheme: &Scheme| {
        let mut used = used.clone().filter(|used| used.name == scheme.name).peekable();
        match used.peek() {
            None => !scheme.signs_content(),
            Some(_) => used.any(|scheme| !scheme.signs_content()),
        }
    };
    for (scheme, at) in schemes {
        if is_open(scheme) {
            let name = &scheme.name;
            let title = format!("scheme `{name}` does not sign the content");
            let problem = Problem::warning(title).at(at.clone(), "nothing here is from the body");
            notes.add(problem.help(
                "anyone who has seen one request can send any other content with its signature",
            ));
        }
    }
}

/// `None` if something required is missing or wrong; the problem is noted.
pub(super) fn scheme(name: &str, table: Table<'_>, notes: &Notes) -> Option<Scheme> {
    placed(name, table, notes).map(|(scheme, _)| scheme)
}

fn placed(name: &str, mut table: Table<'_>, notes: &Notes) -> Option<(Scheme, Range<usize>)> {
    let place = table.place.clone();
    let id = header_names(table.entry("id"), notes).unwrap_or_default();
    let handshake = choice(&mut table, "handshake", &HANDSHAKES, notes);
    let remark = table.entry("remark").and_then(|entry| entry.string(notes)).map(str::to_owned);
    let methods = methods(&mut table, notes).unwrap_or_else(|| vec![Method::POST]);
    let token = table.entry("token_in");
    let certificate = choice(&mut table, "certificate", &CERTIFICATES, notes);
    let (proof, signed_at) = match (token, tokens::of_scheme(&mut table, notes)) {
        _ if certificate.is_some() => (Some(Proof::Sns(Sns::default())), place),
        (_, Some(jwt)) => (Some(Proof::Jwt(jwt)), place),
        (Some(entry), None) => (token_in(&entry, notes).map(Proof::Token), place),
        (None, None) => signature(name, &mut table, place, notes),
    };
    table.finish(notes, |key| match key {
        "secret" | "secrets" => Some("secrets belong to the source: [sources.NAME]".to_owned()),
        "timestamp" => Some("the key for the timestamp is `time`".to_owned()),
        "parts" | "message" => Some("the key for the signed parts is `signed`".to_owned()),
        "header" | "signed" => {
            Some("a scheme with `token_in` or `keys_url` has no signature of its own".to_owned())
        }
        "issuer" | "audience" | "claims" => {
            Some("a scheme for tokens of an issuer has `keys_url`".to_owned())
        }
        _ => None,
    });
    let mut proof = proof?;
    let remark = remark.map_or(proof.remark(), Text::from);
    if let Proof::Signature(signature) = &mut proof {
        check(name, signature, &id, signed_at.clone(), notes);
        if handshake.is_some_and(Handshake::signs_token) && signature.signs_only_tokens() {
            let title = format!("scheme `{name}` signs nothing but texts that its handshake signs");
            let problem =
                Problem::error(title).at(signed_at.clone(), "every request would be refused");
            notes.add(problem.help("sign \"body\", or remove `handshake`"));
        }
    }
    let name = name.into();
    Some((Scheme { name, unconfirmed: false, methods, proof, id, handshake, remark }, signed_at))
}

fn token_in(entry: &Entry<'_>, notes: &Notes) -> Option<TokenIn> {
    let place = crate::verify::token_in(entry.string(notes)?);
    if place.is_none() {
        let title = format!("`{}` is not a valid place for a token", entry.path);
        entry.refuse(notes, &title, "write \"header:NAME\" or \"query:NAME\"", "");
    }
    place
}

/// The signature, and the position of `signed` in the file.
fn signature(
    name: &str,
    table: &mut Table<'_>,
    at: Range<usize>,
    notes: &Notes,
) -> (Option<Proof>, Range<usize>) {
    let place = place(name, table, at.clone(), notes);
    let separator = table.entry("separator").and_then(|entry| separator(&entry, notes));
    let encoding = choice(table, "encoding", &ENCODINGS, notes).unwrap_or(ENCODINGS[0].1);
    let marks = marks(table, notes);
    let entry = table.entry("signed");
    let signed = entry.as_ref().map_or_else(|| vec![Part::Body], |entry| parts(entry, notes));
    let stamp = stamp(table, &signed, notes);
    let at = entry.map_or(at, |entry| entry.span);
    let signature = place.zip(marks).map(|(place, marks)| {
        Proof::Signature(Signature { place, separator, marks, encoding, signed, stamp })
    });
    (signature, at)
}

/// Where the signature is: in one of three keys.
fn place(name: &str, table: &mut Table<'_>, at: Range<usize>, notes: &Notes) -> Option<Place> {
    let first = table.entry("header");
    let each = table.entry("each_header");
    let in_body = table.entry("signature_in_body");
    let given: Vec<&Entry<'_>> = [&first, &each, &in_body].into_iter().flatten().collect();
    match given.as_slice() {
        [] => {
            let title = format!("scheme `{name}` does not say where its signature is");
            let problem = Problem::error(title).at(at, "no `header`").absence("header");
            notes.add(problem.help("write header = \"X-NAME-Signature\""));
            return None;
        }
        [_, second, ..] => {
            let title = format!("`{}` is a second place for the signature", second.path);
            let help = "write one of `header`, `each_header` and `signature_in_body`";
            second.refuse(notes, &title, "keep one", help);
            return None;
        }
        [_] => {}
    }
    if let Some(entry) = in_body {
        let written = entry.string(notes)?;
        // A pointer alone is short for `body:`.
        let spots = match written.strip_prefix('/') {
            Some(_) => spots(&entry, &format!("body:{written}"), notes),
            None => spots(&entry, written, notes),
        };
        return Some(Place::Inside(spots?));
    }
    let names = header_names(first, notes).map(Place::First);
    names.or_else(|| header_names(each, notes).map(Place::Each))
}

/// One version of the signature, or several in `versions`.
fn marks(table: &mut Table<'_>, notes: &Notes) -> Option<Vec<Mark>> {
    let Some(entry) = table.entry("versions") else {
        return Some(vec![mark(table, notes)?]);
    };
    let mut entries = entry.items(notes);
    if entries.is_empty() || entries.len() > VERSIONS_MAX {
        let title = format!("`{}` must be a list of 1 to {VERSIONS_MAX} tables", entry.path);
        entry.refuse(notes, &title, "write [{ prefix = \"v1=\" }, { prefix = \"v2=\" }]", "");
        entries.truncate(VERSIONS_MAX);
    }
    let version = |entry: &Entry<'_>| {
        let mut table = entry.table(notes)?;
        let mark = mark(&mut table, notes);
        table.finish(notes, |_| None);
        mark
    };
    let marks: Vec<Mark> = entries.iter().filter_map(version).collect();
    (!marks.is_empty()).then_some(marks)
}

fn mark(table: &mut Table<'_>, notes: &Notes) -> Option<Mark> {
    let prefix = table.entry("prefix").and_then(|entry| entry.string(notes)).unwrap_or_default();
    let algorithm = algorithm(table, notes);
    Some(Mark { text: prefix.to_owned().into(), algorithm, key: key(table, algorithm, notes)? })
}

/// Notes what does not fit together, and sets whether the signature covers the time.
fn check(
    name: &str,
    signature: &mut Signature,
    id: &[HeaderName],
    at: Range<usize>,
    notes: &Notes,
) {
    let refuse = |title: String, label: &str, help: &str| {
        notes.add(Problem::error(title).at(at.clone(), label).help(help));
    };
    let uses = |part: &Part| signature.signed.contains(part);
    let if_sent = signature.signed.iter().any(|part| matches!(part, Part::StampIfSent(_)));
    let in_key = signature.marks.iter().any(|mark| mark.key == KeyForm::StampThenText);
    if signature.stamp.is_none() && (uses(&Part::Stamp) || if_sent || in_key) {
        let title = format!("scheme `{name}` signs a time, but does not say where it is");
        refuse(
            title,
            "no `time`",
            "write time = \"header:NAME\", \"element:t=\" or \"body:/POINTER\"",
        );
    }
    let is_inside = |stamp: &Stamp| matches!(stamp.place, StampIn::Inside(_));
    if signature.stamp.as_ref().is_some_and(is_inside) && (uses(&Part::Stamp) || if_sent) {
        let title = format!("scheme `{name}` signs \"time\", but its time is in the content");
        refuse(
            title,
            "\"time\" is a header or an element",
            "write the place of the time here too, as in `time`, or \"body\" if the whole body is signed",
        );
    }
    if id.is_empty() && uses(&Part::Id) {
        let title = format!("scheme `{name}` signs an id, but does not say where it is");
        refuse(title, "no `id`", "write id = \"NAME-OF-THE-HEADER\"");
    }
    if signature.signs_sorted_form() && !signature.signs_url() {
        let title = format!("scheme `{name}` signs a sorted form, but not the address");
        refuse(
            title,
            "no \"url\" here",
            "a body that is not a form is signed by its hash in the address: add \"url\"",
        );
    }
    if !signature.delimits_body() {
        let title = format!("scheme `{name}` does not separate the body from the part beside it");
        let problem =
            Problem::warning(title).at(at.clone(), "nothing shows where the body begins and ends");
        notes.add(problem.help(
            "bytes of it could be moved into the other part, and the signature would still match; so only JSON bodies are \
             accepted, and no body at all by GET if \"method\" is signed",
        ));
    }
    let covered = signature.covers_stamp();
    if let Some(stamp) = &mut signature.stamp {
        stamp.covered = covered;
        if !covered {
            let title = format!("scheme `{name}` does not sign its time");
            let problem = Problem::warning(title).at(at, "no \"time\" here");
            notes.add(problem.help("anyone can change it, so it is ignored"));
        }
    }
}
