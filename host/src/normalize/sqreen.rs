//! Reads Sqreen's events: versions 1 and 2, also mixed in one array.
//!
//! Version 2 wraps an event in an envelope (`message_type`, `message_id`, `message`), version 1 is the
//! event itself (`sqreen_payload_type`). Neither the set of types nor the keys of a type are fixed: a
//! test message has an empty description and no id of the application, an incident does not name the
//! application, a response has no id at all.
//!
//! | severity | when |
//! |---|---|
//! | info | a test; risk below 25 |
//! | warning | risk from 25; without a risk; a response; a scan |
//! | error | risk from 50; an incident or pulse of any other kind, or a blocked account takeover |
//! | critical | risk from 75; an account takeover |

use std::borrow::Cow;

use super::fields::{Field, fields};
use super::record::TYPE_UNKNOWN;
use super::repetition::{Identity, of_event};
use super::text::{NAME_CHARS_MAX, TITLE_CHARS_MAX, is_link, is_rfc3339, one_line};
use crate::model::{Attributes, RepetitionSeed, Severity};

const RISK_WARNING: f64 = 25.0;
const RISK_ERROR: f64 = 50.0;
const RISK_CRITICAL: f64 = 75.0;

fields! {
    /// What surrounds an event; in version 1 the event itself.
    struct Envelope {
        message_type, sqreen_payload_type, message_id, id, date_created, message,
    }
}

fields! {
    /// The event: `message` in version 2, the whole element in version 1.
    struct Content {
        event_id, id, event_kind, risk_coefficient, risk, application_name, application_id,
        environment, application, playbook, date_occurred, date_occured, date_started, date_created,
        date_last_updated, humanized_description, humanized_title, event_url, url, incident_thread,
        incident_status, pulse_genre, blocked,
    }
}

fields! {
    /// An application or a playbook that is an object.
    struct Named { id, name, environment }
}

/// One event, split into its parts.
struct Read<'a> {
    event_type: Cow<'a, str>,
    /// The envelope's own identifier; version 2 only.
    message_id: Field<'a>,
    sent_at: Field<'a>,
    /// The part that stays the same when Sqreen retries, unlike the envelope's `retry_count`.
    raw: &'a str,
    content: Content<'a>,
    application: Named<'a>,
}

pub(super) fn read(element: &str, seed: RepetitionSeed) -> (Attributes, Identity) {
    let event = Read::of(element);
    let attributes = Attributes {
        event_type: event.event_type.clone().into_owned(),
        subject: event.subject(),
        time: event.time(),
        title: event.title(),
        severity: event.severity(),
        link: event.link(),
    };
    (attributes, event.identity(seed))
}

impl<'a> Read<'a> {
    fn of(element: &'a str) -> Self {
        let envelope = Envelope::of(element);
        let version_2 =
            envelope.message_type.raw().is_some() || envelope.message.object().is_some();
        let raw = if version_2 { envelope.message.raw().unwrap_or_default() } else { element };
        let content = Content::of(raw);
        let application = content.application.object().map(Named::of).unwrap_or_default();
        let event_type = line(envelope.message_type, NAME_CHARS_MAX)
            .or_else(|| line(envelope.sqreen_payload_type, NAME_CHARS_MAX))
            .unwrap_or(Cow::Borrowed(TYPE_UNKNOWN));
        let message_id =
            if version_2 { envelope.message_id.or(envelope.id) } else { envelope.message_id };
        Self { event_type, message_id, sent_at: envelope.date_created, raw, content, application }
    }

    fn is_test(&self) -> bool {
        self.event_type == "test"
    }

    fn is_incident(&self) -> bool {
        self.content.incident_thread.raw().is_some()
    }

    fn application(&self) -> Option<Cow<'a, str>> {
        line(self.content.application_name, NAME_CHARS_MAX)
            .or_else(|| line(self.application.name, NAME_CHARS_MAX))
    }

    fn subject(&self) -> Option<String> {
        let environment =
            line(self.content.environment.or(self.application.environment), NAME_CHARS_MAX);
        match (self.application(), environment) {
            (Some(application), Some(environment)) => Some(format!("{application}/{environment}")),
            (one, other) => one.or(other).map(Cow::into_owned),
        }
    }

    /// When it happened, or else when it was sent.
    fn time(&self) -> Option<String> {
        let content = &self.content;
        [
            content.date_occurred,
            content.date_occured,
            content.date_started,
            content.date_created,
            self.sent_at,
        ]
        .into_iter()
        .filter_map(Field::text)
        .find(|time| is_rfc3339(time))
        .map(Cow::into_owned)
    }

    fn title(&self) -> String {
        line(self.content.humanized_description, TITLE_CHARS_MAX)
            .or_else(|| line(self.content.humanized_title, TITLE_CHARS_MAX))
            .map_or_else(|| self.made_up_title(), Cow::into_owned)
    }

    /// A title for an event that Sqreen sends without one.
    fn made_up_title(&self) -> String {
        if self.is_test() {
            return "Test message from Sqreen".to_owned();
        }
        let playbook = self.content.playbook.object().map(Named::of).unwrap_or_default();
        let what = if let Some(name) = line(playbook.name, NAME_CHARS_MAX) {
            format!("Playbook {name} fired")
        } else if let (true, Some(status)) =
            (self.is_incident(), line(self.content.incident_status, NAME_CHARS_MAX))
        {
            format!("{} incident {status}", self.event_type)
        } else if let Some(kind) =
            line(self.content.event_kind.or(self.content.pulse_genre), NAME_CHARS_MAX)
        {
            format!("{}: {kind}", self.event_type)
        } else {
            self.event_type.clone().into_owned()
        };
        let on = self
            .application()
            .or_else(|| line(self.content.application_id.or(self.application.id), NAME_CHARS_MAX));
        let title = on.map_or_else(|| what.clone(), |on| format!("{what} on {on}"));
        one_line(&title, TITLE_CHARS_MAX).map(Cow::into_owned).unwrap_or(title)
    }

    fn severity(&self) -> Severity {
        if self.is_test() {
            return Severity::Info;
        }
        let content = &self.content;
        if let Some(risk) = content.risk_coefficient.number().or_else(|| content.risk.number()) {
            return match risk {
                risk if risk >= RISK_CRITICAL => Severity::Critical,
                risk if risk >= RISK_ERROR => Severity::Error,
                risk if risk >= RISK_WARNING => Severity::Warning,
                _ => Severity::Info,
            };
        }
        let pulse = content.pulse_genre.text();
        if !self.is_incident() && pulse.is_none() && self.event_type != "pulse" {
            return Severity::Warning;
        }
        match pulse.as_deref().unwrap_or(&self.event_type) {
            "account_takeover" if !content.blocked.is_true() => Severity::Critical,
            "http_scan" => Severity::Warning,
            _ => Severity::Error,
        }
    }

    /// A test message has none: its address does not exist.
    fn link(&self) -> Option<String> {
        [self.content.event_url, self.content.url]
            .into_iter()
            .filter(|_| !self.is_test())
            .filter_map(Field::text)
            .find(|link| is_link(link))
            .map(Cow::into_owned)
    }

    /// Pressing the test button twice sends two messages, so a test is never a repetition. An incident is
    /// sent again whenever it changes, so its state is part of its key.
    fn identity(&self, seed: RepetitionSeed) -> Identity {
        let content = &self.content;
        let text = |field: Field<'a>| field.text().unwrap_or_default();
        let message_id = text(self.message_id);
        let event_id =
            text(if content.event_id.text().is_some() { content.event_id } else { content.id });
        let thread = text(content.incident_thread);
        if self.is_test() {
            return Identity::MayRepeat;
        }
        if message_id.is_empty() && event_id.is_empty() && thread.is_empty() {
            return Identity::Unknown;
        }
        if !self.is_incident() {
            return Identity::Known(of_event(seed, &[&message_id, &event_id], self.raw));
        }
        let (status, updated) = (text(content.incident_status), text(content.date_last_updated));
        Identity::Known(of_event(
            seed,
            &[&message_id, &event_id, &thread, &status, &updated],
            self.raw,
        ))
    }
}

/// The field's text on one line.
fn line(field: Field<'_>, chars_max: usize) -> Option<Cow<'_, str>> {
    match field.text()? {
        Cow::Borrowed(text) => one_line(text, chars_max),
        Cow::Owned(text) => one_line(&text, chars_max).map(|line| Cow::Owned(line.into_owned())),
    }
}
