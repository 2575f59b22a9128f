//! Reads `[senders.NAME]`: how the bodies of a sender are read that is not built in.
//!
//! `[sender]` of the vendors' files is read by the same code, so both have the same keys.

mod conditions;

use std::sync::Arc;
use std::time::Duration;

use super::naming::{named_by_user, unknown, unknown_severity};
use super::problem::Problem;
use super::reader::{Entry, Notes, Table};
use crate::model::Severity;
use crate::normalize::{
    Record, RetryHabit, Sender, TEMPLATES_MAX, TYPE_CONDITIONS_MAX, TYPES_BY_KEYS_MAX,
    UNSIGNED_TYPE_BYTES_MAX, UNSIGNED_TYPES_MAX,
};

/// Most senders in a configuration.
const SENDERS_MAX: usize = 100;
/// Limits of `deadline`.
const DEADLINE_MIN: Duration = Duration::from_secs(1);
const DEADLINE_MAX: Duration = Duration::from_secs(3_600);

/// Reads every sender of the configuration. A name that is built in is refused.
pub(super) fn read(
    table: &Table<'_>,
    is_built_in: impl Fn(&str) -> bool,
    notes: &Notes,
) -> Vec<Arc<Sender>> {
    let mut senders = Vec::new();
    for (name, entry) in named_by_user(table, "sender", SENDERS_MAX, is_built_in, notes) {
        if let Some(table) = entry.table(notes) {
            // A sender with an error keeps its name, so that its source is not reported as well.
            let sender = sender(name, table, notes)
                .or_else(|| Sender::new(name, &Record::EMPTY).ok())
                .map(Arc::new);
            senders.extend(sender);
        }
    }
    senders
}

/// The templates of one attribute, with their entries.
struct Attribute<'t> {
    name: &'static str,
    entries: Vec<Entry<'t>>,
    texts: Vec<&'t str>,
}

/// `None` if something is wrong; the problem is noted.
pub(super) fn sender(name: &str, mut table: Table<'_>, notes: &Notes) -> Option<Sender> {
    let habit = habit(&mut table, notes);
    if let Some(entry) = table.entry("reader") {
        table.finish(notes, |_| {
            Some("with `reader`, only `deadline` and `retries` can be set".to_owned())
        });
        return by_code(name, &entry, notes).map(|sender| sender.with_habit(habit));
    }
    let events = table.entry("events");
    let body = table.entry("body");
    let attributes = ["id", "type", "subject", "time", "title", "severity", "link"]
        .map(|key| attribute(key, &mut table, notes));
    let types_entry = table.entry("unsigned_types");
    let unsigned_types =
        types_entry.as_ref().map_or_else(Vec::new, |entry| unsigned_types(entry, notes));
    let keys_entry = table.entry("type_by_keys");
    let type_by_keys =
        keys_entry.as_ref().map_or_else(Vec::new, |entry| type_by_keys(entry, notes));
    let id_alone = table.boolean("id_alone", false, notes);
    let may_repeat = table.boolean("may_repeat", false, notes);
    let words = table.table("severity_words", notes).map(|words| self::words(&words, notes));
    let words = words.unwrap_or_default();
    let otherwise = table.entry("severity_default").and_then(|entry| severity(&entry, notes));
    let place = table.place.clone();
    table.finish(notes, |key| match key {
        "scheme" | "secrets" | "path" => Some("it belongs to [sources.NAME]".to_owned()),
        _ => None,
    });
    let [id, event_type, subject, time, title, severity, link] = &attributes;
    let record = Record {
        events: events.as_ref().and_then(|entry| entry.string(notes)),
        any_body: body.is_some_and(|entry| any_body(&entry, notes)),
        id: &id.texts,
        id_alone,
        may_repeat,
        event_type: &event_type.texts,
        unsigned_types: &unsigned_types,
        type_by_keys: &type_by_keys,
        subject: &subject.texts,
        time: &time.texts,
        title: &title.texts,
        severity: &severity.texts,
        link: &link.texts,
        words: &words,
        otherwise: otherwise.unwrap_or(Severity::Warning),
    };
    match Sender::new(name, &record) {
        Ok(sender) => {
            let unused = types_entry.or(keys_entry).filter(|_| !sender.reads_type_around_body());
            if let Some(entry) = unused {
                let title = format!("`{}` has no effect", entry.path);
                let label = "`type` reads no header and no query parameter";
                entry.refuse(notes, &title, label, "remove it: every other type is from the body");
            }
            Some(sender.with_habit(habit))
        }
        Err(invalid) => {
            let named = attributes.iter().find(|attribute| attribute.name == invalid.attribute);
            let written = named.and_then(|attribute| {
                let at = attribute.texts.iter().position(|text| *text == invalid.text)?;
                attribute.entries.get(at)
            });
            let conditions = keys_entry.filter(|_| invalid.attribute == "type_by_keys");
            let written = written.or(conditions.as_ref()).or(events.as_ref());
            let span = written.map_or(place, |entry| entry.span.clone());
            let title = format!("`senders.{name}.{}` is not valid", invalid.attribute);
            let problem = Problem::error(title).at(span, invalid.why.to_string());
            notes.add(problem.help("a template is text with places: \"{alert.title} on {host}\""));
            None
        }
    }
}

fn habit(table: &mut Table<'_>, notes: &Notes) -> RetryHabit {
    let deadline = table.duration("deadline", DEADLINE_MIN..=DEADLINE_MAX, notes);
    let retries = table.entry("retries").and_then(|entry| entry.string(notes)).unwrap_or_default();
    RetryHabit { deadline, retries: retries.to_owned() }
}

/// Names the code that reads bodies which templates cannot describe.
fn by_code(name: &str, entry: &Entry<'_>, notes: &Notes) -> Option<Sender> {
    match entry.string(notes)? {
        "sqreen" => Some(Sender::sqreen(name)),
        other => {
            unknown(entry, "reader", "readers", other, ["sqreen"].into_iter(), notes);
            None
        }
    }
}

fn attribute<'t>(key: &'static str, table: &mut Table<'t>, notes: &Notes) -> Attribute<'t> {
    let entry = table.entry(key);
    let mut entries = entry.as_ref().map_or_else(Vec::new, |entry| entry.one_or_more(notes));
    if let Some(entry) = entry.filter(|_| entries.len() > TEMPLATES_MAX) {
        let label = format!("{} are too many, at most {TEMPLATES_MAX}", entries.len());
        entry.refuse(notes, &format!("`{}` has too many templates", entry.path), &label, "");
        entries.truncate(TEMPLATES_MAX);
    }
    let (entries, texts) = entries
        .into_iter()
        .filter_map(|entry| entry.string(notes).map(|text| (entry, text)))
        .unzip();
    Attribute { name: key, entries, texts }
}

/// The types that an unsigned part of a request may name.
fn unsigned_types<'t>(entry: &Entry<'t>, notes: &Notes) -> Vec<&'t str> {
    let entries = entry.one_to(UNSIGNED_TYPES_MAX, notes);
    let read = |entry: &Entry<'t>| {
        let text = entry.string(notes)?;
        let fits = is_type(text);
        if !fits {
            let title = format!("`{}` is not a type", entry.path);
            let label = format!("1 to {UNSIGNED_TYPE_BYTES_MAX} bytes without spaces around them");
            entry.refuse(notes, &title, &label, "write each value as the sender sends it");
        }
        fits.then_some(text)
    };
    entries.iter().filter_map(read).collect()
}

/// Types and the conditions for each, in the order of the file.
fn type_by_keys<'t>(entry: &Entry<'t>, notes: &Notes) -> Vec<(&'t str, Vec<&'t str>)> {
    let Some(table) = entry.table(notes) else { return Vec::new() };
    let all = table.all();
    if let Some((_, entry)) = all.get(TYPES_BY_KEYS_MAX) {
        let problem = Problem::error(format!("there are more than {TYPES_BY_KEYS_MAX} types"));
        notes.add(problem.at(entry.key.clone(), "one too many"));
    }
    let mut rules: Vec<(&str, Vec<&str>)> = Vec::new();
    // Those without a mistake.
    let mut whole: Vec<(&str, Vec<&str>)> = Vec::new();
    for (name, entry) in all.into_iter().take(TYPES_BY_KEYS_MAX) {
        if !is_type(name) {
            let label = format!(
                "a type has 1 to {UNSIGNED_TYPE_BYTES_MAX} bytes without spaces around them"
            );
            let problem = Problem::error(format!("{name:?} is not a type"));
            notes.add(problem.at(entry.key.clone(), label));
        }
        let conditions = entry.one_to(TYPE_CONDITIONS_MAX, notes);
        let mut texts: Vec<&str> = Vec::new();
        for (condition, text) in
            conditions.iter().filter_map(|entry| Some((entry, entry.string(notes)?)))
        {
            match conditions::odd(text, &texts) {
                Some(why) => {
                    let title = format!("`{}` is not a condition", condition.path);
                    let help = "write a path, such as \"review\", a path and values, \"action=opened|closed\", or all keys, \"only:action|review\"";
                    condition.refuse(notes, &title, why, help);
                }
                None => texts.push(text),
            }
        }
        let is_whole = texts.len() == conditions.len();
        if let Some((before, _)) =
            whole.iter().find(|(_, earlier)| is_whole && conditions::imply(&texts, earlier))
        {
            let title = format!("the type `{name}` is never used");
            let label = format!("`{before}` holds whenever it does and comes first");
            entry.refuse(notes, &title, &label, "");
        }
        if is_whole {
            whole.push((name, texts.clone()));
        }
        rules.push((name, texts));
    }
    rules
}

fn is_type(text: &str) -> bool {
    (1..=UNSIGNED_TYPE_BYTES_MAX).contains(&text.len())
        && !text.contains(char::is_control)
        && text.trim() == text
}

fn words<'t>(table: &Table<'t>, notes: &Notes) -> Vec<(&'t str, Severity)> {
    let all = table.all();
    if let Some((_, entry)) = all.get(TEMPLATES_MAX) {
        let problem = Problem::error(format!("there are more than {TEMPLATES_MAX} words"));
        notes.add(problem.at(entry.key.clone(), "one too many"));
    }
    let word = |(word, entry): (&'t str, Entry<'t>)| Some((word, severity(&entry, notes)?));
    all.into_iter().take(TEMPLATES_MAX).filter_map(word).collect()
}

fn severity(entry: &Entry<'_>, notes: &Notes) -> Option<Severity> {
    let word = entry.string(notes)?;
    let severity = Severity::from_word(word);
    if severity.is_none() {
        unknown_severity(entry, word, "", notes);
    }
    severity
}

fn any_body(entry: &Entry<'_>, notes: &Notes) -> bool {
    match entry.string(notes) {
        Some("any") => return true,
        None | Some("json") => {}
        Some(other) => {
            let help = "json accepts JSON and forms; any accepts every body, even an empty one";
            let title = format!("unknown body `{other}`");
            entry.refuse(notes, &title, "write \"json\" or \"any\"", help);
        }
    }
    false
}
