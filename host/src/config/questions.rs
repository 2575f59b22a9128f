//! Reads `questions`: how a vendor asks whether an address is ours, of a source and of the vendors' files.

mod possible;

use http::{HeaderName, Method};

pub(super) use possible::{refuse_misfits, swallows};

use super::naming::unknown;
use super::problem::Problem;
use super::reader::{Entry, Notes};
use super::schemes::refuse_escape;
use crate::normalize::has_valid_escapes;
use crate::verify::{Asked, QUESTIONS_MAX, Question, Reply, Sign, Spot};

const METHODS: [Method; 5] =
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::POST, Method::PUT];
/// Most things that one question has.
const SIGNS_MAX: usize = 8;
/// Headers that say how a response is read, or that the daemon sets.
const REPLY_HEADERS_REFUSED: [&str; 17] = [
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "keep-alive",
    "location",
    "proxy-authenticate",
    "retry-after",
    "server",
    "set-cookie",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "www-authenticate",
    "x-request-id",
];
const PLACES: &str = "write \"query:NAME\", \"header:NAME\", \"form:NAME\" or \"body:/POINTER\"";

/// The questions of a source. `handshake`: whether it answers any, if that is written.
pub(super) fn of_source<'t>(
    entry: &Entry<'t>,
    handshake: Option<bool>,
    notes: &Notes,
) -> Vec<(Entry<'t>, Question)> {
    if handshake == Some(false) {
        let title = format!("`{}` has no effect", entry.path);
        let problem = Problem::warning(title).at(entry.key.clone(), "`handshake` is false");
        notes.add(problem.help("remove one of the two"));
    }
    questions(entry, notes)
}

/// A list of tables, with the place of each.
pub(super) fn questions<'t>(entry: &Entry<'t>, notes: &Notes) -> Vec<(Entry<'t>, Question)> {
    if !matches!(entry.value, toml::de::DeValue::Array(_)) {
        let title = format!("`{}` must be a list of tables", entry.path);
        let help = "write questions = [{ method = \"GET\", repeat = \"query:challenge\" }]";
        entry.refuse(notes, &title, "not a list", help);
    }
    let entries = entry.items(notes);
    if entries.len() > QUESTIONS_MAX {
        let title = format!("`{}` has too many questions", entry.path);
        entry.refuse(notes, &title, &format!("at most {QUESTIONS_MAX}"), "");
    }
    let mut all: Vec<(Entry<'t>, Question)> = Vec::new();
    for entry in entries.into_iter().take(QUESTIONS_MAX) {
        let Some(question) = question(&entry, notes) else { continue };
        let is_same = |other: &Question| {
            other.method == question.method
                && other.has == question.has
                && other.repeat == question.repeat
                && (other.unsigned || !question.unsigned)
        };
        if let Some((before, _)) = all.iter().find(|(_, other)| is_same(other)) {
            let title = format!("`{}` is never answered", entry.path);
            entry.refuse(notes, &title, &format!("`{}` is the same question", before.path), "");
        }
        all.push((entry, question));
    }
    all
}

/// Whether requests by this method have no body.
const fn has_no_body(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn question(entry: &Entry<'_>, notes: &Notes) -> Option<Question> {
    let mut table = entry.table(notes)?;
    let method = table.entry("method");
    let has = table.entry("has").map_or_else(Vec::new, |entry| entry.one_to(SIGNS_MAX, notes));
    let has: Option<Vec<(Entry<'_>, Sign)>> =
        has.into_iter().map(|entry| sign(&entry, notes).map(|sign| (entry, sign))).collect();
    let repeat_entry = table.entry("repeat");
    let repeat = match &repeat_entry {
        Some(entry) => Some(place(entry, entry.string(notes)?, notes)?),
        None => None,
    };
    let answer = table.entry("answer");
    let unsigned = table.entry("unsigned").and_then(|entry| entry.boolean(notes));
    table.finish(notes, |key| match key {
        "path" | "secrets" => Some("it belongs to [sources.NAME]".to_owned()),
        _ => None,
    });
    let Some(method) = method else {
        entry.refuse(notes, &format!("`{}` needs `method`", entry.path), "GET, for example", "");
        return None;
    };
    let written = method.string(notes)?;
    let Some(found) = METHODS.iter().find(|known| known.as_str() == written).cloned() else {
        let names = METHODS.iter().map(Method::as_str);
        unknown(&method, "method", "methods", written, names, notes);
        return None;
    };
    let reply = match &answer {
        Some(entry) => reply(entry, notes)?,
        None => Reply::Text,
    };
    if let (Some(entry), None) = (&answer, &repeat)
        && reply != Reply::Text
    {
        let help = "say which text is repeated: repeat = \"query:challenge\"";
        entry.refuse(
            notes,
            &format!("`{}` has nothing to repeat", entry.path),
            "no `repeat`",
            help,
        );
        return None;
    }
    let unsigned = unsigned.unwrap_or(has_no_body(&found));
    let has = has?;
    if has.is_empty() && repeat.is_none() && !has_no_body(&found) {
        let title = format!("`{}` does not say how a question differs from an event", entry.path);
        entry.refuse(notes, &title, "no `has` and no `repeat`", PLACES);
        return None;
    }
    if !possible::is_possible(&found, &has, repeat_entry.as_ref().zip(repeat.as_ref()), notes) {
        return None;
    }
    if let Some(entry) = repeat_entry.as_ref().filter(|_| found == Method::HEAD)
        && !matches!(reply, Reply::Header(_))
    {
        let title = format!("`{}` cannot be repeated", entry.path);
        let help = "write answer = \"header:NAME\", or method = \"GET\"";
        entry.refuse(notes, &title, "the answer to HEAD has no body", help);
        return None;
    }
    let has = has.into_iter().map(|(_, sign)| sign).collect();
    Some(Question { method: found, has, repeat, reply, unsigned })
}

fn reply(entry: &Entry<'_>, notes: &Notes) -> Option<Reply> {
    let written = entry.string(notes)?;
    match written.split_once(':') {
        None if written == "text" => return Some(Reply::Text),
        Some(("json", name)) if !name.is_empty() => {
            return Some(Reply::Json(name.to_owned().into()));
        }
        Some(("header", name)) => {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let Some(name) =
                name.ok().filter(|name| !REPLY_HEADERS_REFUSED.contains(&name.as_str()))
            {
                return Some(Reply::Header(name));
            }
        }
        _ => {}
    }
    let title = format!("`{}` is not a form of an answer", entry.path);
    entry.refuse(
        notes,
        &title,
        "write \"text\", \"json:NAME\" or \"header:NAME\", a header that no response has anyway",
        "",
    );
    None
}

/// `query:NAME` or `query:NAME=this|that`.
fn sign(entry: &Entry<'_>, notes: &Notes) -> Option<Sign> {
    let written = entry.string(notes)?;
    let (at, values) = match written.split_once('=') {
        Some((at, values)) => (at, values.split('|').collect()),
        None => (written, Vec::new()),
    };
    let place = place(entry, at, notes)?;
    if !possible::values_are_possible(entry, &place, &values, notes) {
        return None;
    }
    let values = values.into_iter().map(|value| value.to_owned().into()).collect();
    Some(Sign { place, values })
}

fn place(entry: &Entry<'_>, text: &str, notes: &Notes) -> Option<Asked> {
    let found = match text.split_once(':') {
        Some(("header", name)) => HeaderName::from_bytes(name.as_bytes()).ok().map(Asked::Header),
        Some((_, "")) | None => None,
        Some(("query", name)) => Some(Asked::Inside(Spot::Query(name.to_owned().into()))),
        Some(("form", name)) => Some(Asked::Inside(Spot::Form(name.to_owned().into()))),
        Some(("body", pointer)) if pointer.starts_with('/') && !has_valid_escapes(pointer) => {
            refuse_escape(entry, notes);
            return None;
        }
        Some(("body", pointer)) if pointer.starts_with('/') => {
            Some(Asked::Inside(Spot::Json(pointer.to_owned().into())))
        }
        Some(_) => None,
    };
    if found.is_none() {
        entry.refuse(notes, &format!("`{}` is not a valid place", entry.path), PLACES, "");
    }
    found
}
