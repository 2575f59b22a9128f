//! Reads `questions`: how a vendor asks whether an address is ours, of a source and of the vendors' files.

use http::{HeaderName, Method};

use super::naming::unknown;
use super::reader::{Entry, Notes};
use crate::verify::{Asked, QUESTIONS_MAX, Question, Reply, Scheme, Sign, Spot, Text};

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

/// A list of tables.
pub(super) fn questions(entry: &Entry<'_>, notes: &Notes) -> Vec<Question> {
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
    entries.iter().take(QUESTIONS_MAX).filter_map(|entry| question(entry, notes)).collect()
}

/// Refuses a question of the source that is every request by a method with which events come.
pub(super) fn refuse_swallowing(
    source: &str,
    asked: Option<&Entry<'_>>,
    questions: &[Question],
    scheme: &Scheme,
    notes: &Notes,
) {
    if let (Some(entry), Some(one)) = (asked, questions.iter().find(|one| swallows(one, scheme))) {
        let title = format!("source `{source}` takes events by {}", one.method);
        let help = "say what the question has or repeats, or leave the method out of `methods`";
        entry.refuse(notes, &title, "a question here is every request by that method", help);
    }
}

/// It would answer every event by its method, and none would be stored.
pub(super) fn swallows(question: &Question, scheme: &Scheme) -> bool {
    question.is_unconditional() && scheme.methods.contains(&question.method)
}

fn question(entry: &Entry<'_>, notes: &Notes) -> Option<Question> {
    let mut table = entry.table(notes)?;
    let method = table.entry("method");
    let has = table.entry("has").map_or_else(Vec::new, |entry| entry.one_to(SIGNS_MAX, notes));
    let has: Option<Vec<Sign>> = has.iter().map(|entry| sign(entry, notes)).collect();
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
    let brings_no_events = matches!(found, Method::GET | Method::HEAD | Method::OPTIONS);
    let unsigned = unsigned.unwrap_or(brings_no_events);
    let has = has?;
    if has.is_empty() && repeat.is_none() && !brings_no_events {
        let title = format!("`{}` does not say how a question differs from an event", entry.path);
        entry.refuse(notes, &title, "no `has` and no `repeat`", PLACES);
        return None;
    }
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
    let (at, values) = written.split_once('=').unwrap_or((written, ""));
    let values = values.split('|').filter(|value| !value.is_empty());
    let values: Vec<Text> = values.map(|value| value.to_owned().into()).collect();
    Some(Sign { place: place(entry, at, notes)?, values })
}

fn place(entry: &Entry<'_>, text: &str, notes: &Notes) -> Option<Asked> {
    let found = match text.split_once(':') {
        Some(("header", name)) => HeaderName::from_bytes(name.as_bytes()).ok().map(Asked::Header),
        Some((_, "")) | None => None,
        Some(("query", name)) => Some(Asked::Inside(Spot::Query(name.to_owned().into()))),
        Some(("form", name)) => Some(Asked::Inside(Spot::Form(name.to_owned().into()))),
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
