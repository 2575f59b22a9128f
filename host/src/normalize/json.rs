//! Any sender that posts JSON: attributes from the names that many use.
//!
//! | attribute | first of these keys that fits |
//! |---|---|
//! | type | `type` `event_type` `event` `kind` `action`, else `unknown` |
//! | title | `title` `summary` `subject` `message` `text` `description` `name`, else the type |
//! | time | `time` `timestamp` `date` `occurred_at` `created_at`, where RFC 3339 |
//! | severity | `severity` `level` `priority`, else warning |
//! | link | `link` `url` `html_url` |
//! | subject | `subject` |
//! | id | `id` `event_id` `uuid`; an event without one is never taken for a repetition |

use std::borrow::Cow;

use super::fields::{Field, fields};
use super::text::{NAME_CHARS_MAX, TITLE_CHARS_MAX, is_link, is_rfc3339, one_line};
use super::{Sample, TYPE_UNKNOWN, dedup};
use crate::model::{Attributes, Dedup, Severity};

fields! {
    struct Keys {
        type_ = "type", event_type, event, kind, action, title, summary, subject, message, text,
        description, name, time, timestamp, date, occurred_at, created_at, severity, level, priority,
        link, url, html_url, id, event_id, uuid,
    }
}

/// Words for how bad something is, in lower case, from harmless to worst.
const SEVERITIES: [(Severity, &[&str]); 4] = [
    (
        Severity::Info,
        &["info", "information", "informational", "notice", "debug", "trace", "low", "ok"],
    ),
    (Severity::Warning, &["warning", "warn", "medium", "moderate", "minor"]),
    (Severity::Error, &["error", "err", "high", "major"]),
    (
        Severity::Critical,
        &["critical", "crit", "fatal", "emergency", "emerg", "alert", "panic", "severe"],
    ),
];

pub(super) fn read(element: &str) -> (Attributes, Option<Dedup>) {
    let keys = Keys::of(element);
    let event_type =
        first(&[keys.type_, keys.event_type, keys.event, keys.kind, keys.action], |text| {
            one_line(text, NAME_CHARS_MAX).map(Cow::into_owned)
        })
        .unwrap_or_else(|| TYPE_UNKNOWN.to_owned());
    let titles = [
        keys.title,
        keys.summary,
        keys.subject,
        keys.message,
        keys.text,
        keys.description,
        keys.name,
    ];
    let title = first(&titles, |text| one_line(text, TITLE_CHARS_MAX).map(Cow::into_owned))
        .unwrap_or_else(|| event_type.clone());
    let owned_if = |fits: fn(&str) -> bool| move |text: &str| fits(text).then(|| text.to_owned());
    let times = [keys.time, keys.timestamp, keys.date, keys.occurred_at, keys.created_at];
    let attributes = Attributes {
        event_type,
        subject: first(&[keys.subject], |text| one_line(text, NAME_CHARS_MAX).map(Cow::into_owned)),
        time: first(&times, owned_if(is_rfc3339)),
        title,
        severity: first(&[keys.severity, keys.level, keys.priority], severity)
            .unwrap_or(Severity::Warning),
        link: first(&[keys.link, keys.url, keys.html_url], owned_if(is_link)),
    };
    let id = first(&[keys.id, keys.event_id, keys.uuid], |text| Some(dedup(&[text], element)));
    (attributes, id)
}

/// What `read` makes of the first field of which it makes something.
fn first<T>(fields: &[Field<'_>], read: impl Fn(&str) -> Option<T>) -> Option<T> {
    fields.iter().filter_map(|field| field.text()).find_map(|text| read(&text))
}

fn severity(word: &str) -> Option<Severity> {
    let is_word = |known: &&str| known.eq_ignore_ascii_case(word.trim());
    SEVERITIES.iter().find(|(_, words)| words.iter().any(is_word)).map(|(severity, _)| *severity)
}

pub(super) static SAMPLES: &[Sample] = &[
    Sample {
        name: "json/alert",
        body: include_str!("samples/json_alert.json"),
        ids: &["c56a4180-65aa-42ec-a945-5fd21dec0538"],
        times: &["2026-01-15T09:30:00Z"],
    },
    Sample {
        name: "json/deploy",
        body: include_str!("samples/json_deploy.json"),
        ids: &["7d444840-9dc0-41d1-b245-5ffdce74fad2"],
        times: &["2026-01-15T10:00:00Z"],
    },
];
