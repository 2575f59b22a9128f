//! Limits a sender to the parts of a request that its signature covers.
//!
//! Anyone who has seen one request can send it again with other headers and another query. So a template that
//! reads an unsigned part is not used. In a template of the type, the type by the event's keys (`type_by_keys`)
//! takes the place of that part. A source, or a sender of the user's own, may decide that an unsigned part names
//! the type all the same ([`UnsignedTypes::Listed`]): if nothing signed does, and only by a word from the sender's
//! list (`unsigned_types`). The severity never depends on that type, and neither does what identifies a
//! repetition. If the signature covers only some values of the body, everything else of the body counts as unsigned too,
//! and its keys give no type. All of this is decided once for each source, when the configuration is loaded.

use std::sync::Arc;

use super::record::{Fields, Record};
use super::sender::{Read, Sender};
use super::template::{SignedSlots, Template};
use super::type_by_keys::TypeByKeys;
use crate::model::{Coverage, SignedBody, SignedParts};

/// A part of the request that an attribute reads although no signature covers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsigned {
    /// The attribute's name in the configuration.
    pub attribute: &'static str,
    /// `header x-event` or `query parameter event`.
    pub part: String,
    /// What it may do all the same.
    pub instead: Instead,
}

/// What becomes of an unsigned part that an attribute reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instead {
    /// It is ignored.
    Nothing,
    /// The event's keys give the type.
    Keys,
    /// It may name a type from the sender's list, where that is allowed.
    Listed,
}

/// Whether an unsigned part of a request may name the type of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnsignedTypes {
    Ignored,
    /// By a word from the sender's list.
    Listed,
}

impl Sender {
    /// The same sender for requests of a scheme that covers this much, for each set of headers.
    #[must_use]
    pub fn limited(&self, coverage: &[Coverage], types: UnsignedTypes) -> Self {
        let mut sets = coverage.iter().map(|coverage| self.limited_to(coverage, types));
        let first = sets.next().unwrap_or_else(|| self.clone());
        Self { other_sets: sets.collect(), ..first }
    }

    /// The sender for the set of headers that was verified.
    #[must_use]
    pub fn of_set(&self, set: usize) -> &Self {
        set.checked_sub(1).and_then(|other| self.other_sets.get(other)).unwrap_or(self)
    }

    /// What this sender reads and no set of headers covers, without duplicates.
    #[must_use]
    pub fn unsigned(&self, coverage: &[Coverage]) -> Vec<Unsigned> {
        let Read::Fields(fields) = &self.read else { return Vec::new() };
        let mut sets = coverage.iter().map(|coverage| match coverage {
            Coverage::Nothing => Vec::new(),
            Coverage::Signed(parts) => fields.unsigned(parts),
        });
        let first = sets.next().unwrap_or_default();
        let rest: Vec<Vec<Unsigned>> = sets.collect();
        first.into_iter().filter(|one| rest.iter().all(|set| set.contains(one))).collect()
    }

    /// Whether it lists types that an unsigned part may name.
    #[must_use]
    pub fn lists_types(&self) -> bool {
        matches!(&self.read, Read::Fields(fields) if !fields.unsigned_types.is_empty())
    }

    /// Whether `type` reads a header or the query, so that `unsigned_types` and `type_by_keys` can apply.
    #[must_use]
    pub fn reads_type_around_body(&self) -> bool {
        match &self.read {
            Read::Sqreen => false,
            Read::Fields(fields) => fields.event_type.iter().any(Template::reads_around_body),
        }
    }

    fn limited_to(&self, coverage: &Coverage, types: UnsignedTypes) -> Self {
        let Coverage::Signed(parts) = coverage else { return self.clone() };
        let some_values = matches!(parts.body, SignedBody::Values(_));
        let read = match &self.read {
            Read::Fields(fields) if some_values || fields.reads_around_body() => {
                Read::Fields(Arc::new(fields.limited(parts, types)))
            }
            // Code reads everything, so nothing is known to be signed.
            Read::Sqreen if some_values => match Fields::new(&Record::EMPTY) {
                Ok(nothing) => Read::Fields(Arc::new(nothing)),
                Err(_) => self.read.clone(),
            },
            read => read.clone(),
        };
        Self { read, signed_body: Some(parts.body.clone()), ..self.clone() }
    }
}

impl Fields {
    fn limited(&self, parts: &SignedParts, types: UnsignedTypes) -> Self {
        let slots = self.signed_values(parts);
        let reads_signed_values = |template: &Template| {
            slots.as_ref().is_none_or(|slots| template.unsigned_values(slots).next().is_none())
        };
        let is_signed = |template: &Template| {
            template.unsigned(parts).next().is_none() && reads_signed_values(template)
        };
        let mut limited = self.in_set(parts);
        if slots.is_some() {
            limited.type_by_keys = TypeByKeys::none();
        }
        let by_keys = |template: &Template| template.with_type_by_keys(parts);
        if types == UnsignedTypes::Listed && !self.unsigned_types.is_empty() {
            let unsigned = || self.event_type.iter().filter(|template| !is_signed(template));
            let listed = |template: &Template| template.with_listed(parts, &self.unsigned_types);
            limited.listed_type = unsigned().map(listed).chain(unsigned().map(by_keys)).collect();
            limited.listed_type.retain(reads_signed_values);
        } else if !limited.type_by_keys.is_empty() {
            limited.event_type = limited.event_type.iter().map(by_keys).collect();
        }
        for templates in [
            &mut limited.id,
            &mut limited.event_type,
            &mut limited.subject,
            &mut limited.time,
            &mut limited.title,
            &mut limited.severity,
            &mut limited.link,
        ] {
            templates.retain(is_signed);
        }
        limited
    }

    /// Which values of the body are signed, if not all of it is.
    fn signed_values(&self, parts: &SignedParts) -> Option<SignedSlots> {
        match &parts.body {
            SignedBody::Values(pointers) => Some(self.signed_slots(pointers)),
            SignedBody::Bytes | SignedBody::SortedForm => None,
        }
    }

    /// The same, with the names of the set of headers that is signed.
    fn in_set(&self, parts: &SignedParts) -> Self {
        let mut renamed = self.clone();
        for templates in [
            &mut renamed.id,
            &mut renamed.event_type,
            &mut renamed.subject,
            &mut renamed.time,
            &mut renamed.title,
            &mut renamed.severity,
            &mut renamed.link,
        ] {
            for template in templates {
                *template = template.in_set(parts);
            }
        }
        renamed
    }

    fn templates(&self) -> [(&'static str, &[Template]); 7] {
        [
            ("id", &self.id),
            ("type", &self.event_type),
            ("subject", &self.subject),
            ("time", &self.time),
            ("title", &self.title),
            ("severity", &self.severity),
            ("link", &self.link),
        ]
    }

    fn reads_around_body(&self) -> bool {
        self.templates().into_iter().any(|(_, list)| list.iter().any(Template::reads_around_body))
    }

    fn unsigned(&self, parts: &SignedParts) -> Vec<Unsigned> {
        let (mut found, slots) = (Vec::new(), self.signed_values(parts));
        let in_body = |template: &Template| {
            let slots = slots.as_ref().map(|slots| template.unsigned_values(slots));
            let path = |slot| format!("{} in the body", self.path_of(slot));
            slots.into_iter().flatten().map(path).collect::<Vec<_>>()
        };
        for (attribute, templates) in self.in_set(parts).templates() {
            for part in templates.iter().flat_map(in_body) {
                let unsigned = Unsigned { attribute, part, instead: Instead::Nothing };
                if !found.contains(&unsigned) {
                    found.push(unsigned);
                }
            }
            let instead = match attribute {
                "type" if !self.unsigned_types.is_empty() => Instead::Listed,
                "type" if !self.type_by_keys.is_empty() => Instead::Keys,
                _ => Instead::Nothing,
            };
            for part in templates.iter().flat_map(|template| template.unsigned(parts)) {
                let unsigned = Unsigned { attribute, part, instead };
                if !found.contains(&unsigned) {
                    found.push(unsigned);
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderName;

    use super::UnsignedTypes::{Ignored, Listed};
    use super::*;
    use crate::model::RepetitionSeed;
    use crate::model::{Attributes, Event, Severity, SignedBody};
    use crate::normalize::repetition::of_event;
    use crate::normalize::{Input, Record, Repetition, normalize};

    const RECORD: Record<'static> = Record {
        id: &["{header:x-id}/{id}", "{header:x-id}", "{id}"],
        event_type: &["{header:x-event}.{action}", "{query:event}", "{kind}"],
        unsigned_types: &["push", "ping"],
        subject: &["{header:x-shop}", "{shop}"],
        time: &["{header:x-time}", "{time}"],
        title: &["{header:x-title}", "{@type}: {text}", "{@type}"],
        severity: &["{header:x-severity}", "{@type}", "{level}"],
        words: &[("ping", Severity::Critical), ("unknown", Severity::Info)],
        link: &["{query:link}", "{link}"],
        ..Record::EMPTY
    };

    fn signed(headers: &[&'static str], query: bool) -> Coverage {
        let headers = headers.iter().map(|name| HeaderName::from_static(name)).collect();
        Coverage::Signed(SignedParts {
            headers,
            same_as: Vec::new(),
            query,
            body: SignedBody::Bytes,
        })
    }

    fn read(sender: &Sender, headers: &[(&str, &str)], body: &'static str) -> Event {
        let header = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())
        };
        let (headers, body) = (headers.iter().map(header).collect(), Bytes::from(body));
        let (query, repetition) = (Some("event=ping&link=https://q.example"), Repetition::Unknown);
        let input = Input {
            headers: &headers,
            query,
            body: &body,
            is_query: false,
            repetition,
            seed: RepetitionSeed::default(),
        };
        normalize(sender, input).unwrap().remove(0)
    }

    const SENT: &[(&str, &str)] = &[
        ("x-id", "1"),
        ("x-event", "push"),
        ("x-shop", "a"),
        ("x-time", "2026-01-15T10:30:00Z"),
        ("x-title", "call +1-900"),
        ("x-severity", "critical"),
    ];

    #[test]
    fn an_unsigned_part_gives_nothing_but_a_listed_type() {
        let sender = Sender::new("own", &RECORD).unwrap().limited(&[signed(&[], false)], Listed);
        for (headers, body, kind, title, severity) in [
            (SENT, r#"{"action":"a","level":"error"}"#, "push.a", "push.a", Severity::Info),
            (SENT, r#"{"text":"b"}"#, "ping", "ping: b", Severity::Info),
            (SENT, r#"{"kind":"c","text":"b"}"#, "c", "c: b", Severity::Info),
            // The signed type comes first, and may decide the severity.
            (SENT, r#"{"kind":"ping"}"#, "ping", "ping", Severity::Critical),
            (&[("x-event", "Push")], r#"{"action":"a"}"#, "ping", "ping", Severity::Info),
            (&[("x-event", "push ")], r#"{"action":"a"}"#, "ping", "ping", Severity::Info),
        ] {
            let Event { attributes, dedup, .. } = read(&sender, headers, body);
            let Attributes { event_type, subject, time, link, .. } = &attributes;
            assert_eq!((&**event_type, &*attributes.title), (kind, title), "{body}");
            assert_eq!(attributes.severity, severity, "{body}");
            assert_eq!((subject, time, link), (&None, &None, &None), "{body}");
            assert!(dedup.is_none(), "{body}");
        }
    }

    #[test]
    fn the_events_keys_take_the_place_of_an_unsigned_header() {
        let rules = [("push", vec!["commits"]), ("pull", vec!["pull"])];
        let record = Record {
            event_type: &["{header:x-event}.{action}", "{header:x-event}"],
            severity: &["{@type}"],
            words: &[("push", Severity::Error), ("ping", Severity::Critical)],
            type_by_keys: &rules,
            ..RECORD
        };
        let sender = Sender::new("own", &record).unwrap();
        let sent = |header: &'static str, body, types| {
            let headers = [("x-event", header)];
            let event = read(&sender.limited(&[signed(&[], false)], types), &headers, body);
            (event.attributes.event_type, event.attributes.severity)
        };
        for header in ["push", "ping", "call +1-900", ""] {
            let kind = |body| sent(header, body, Ignored).0;
            assert_eq!(kind(r#"{"pull":1,"action":"opened"}"#), "pull.opened", "{header}");
            assert_eq!(kind(r#"{"pull":{}}"#), "pull", "{header}");
            assert_eq!(kind(r#"{"action":"opened"}"#), "unknown", "{header}");
            let push = sent(header, r#"{"commits":null}"#, Ignored);
            assert_eq!(push, ("push".to_owned(), Severity::Error), "{header}");
        }
        let listed = |header| sent(header, r#"{"pull":1}"#, Listed);
        assert_eq!(listed("ping"), ("ping".to_owned(), Severity::Info));
        assert_eq!(listed("call +1-900"), ("pull".to_owned(), Severity::Info));
        let signed = sender.limited(&[signed(&["x-event"], false)], Ignored);
        let event = read(&signed, &[("x-event", "ping")], r#"{"pull":1}"#);
        assert_eq!(event.attributes.event_type, "ping");
    }

    #[test]
    fn what_is_signed_counts_and_without_a_signature_everything_does() {
        let sender = Sender::new("own", &RECORD).unwrap();
        let body = r#"{"action":"a","kind":"c"}"#;
        let open = read(&sender.limited(&[Coverage::Nothing], Listed), SENT, body);
        let is_same = |sender: &Sender| {
            let event = read(sender, SENT, body);
            (event.attributes, event.dedup) == (open.attributes.clone(), open.dedup)
        };
        assert!(is_same(&sender));
        assert_eq!(
            (&*open.attributes.title, open.attributes.severity),
            ("call +1-900", Severity::Critical)
        );
        let names = ["x-id", "x-event", "x-shop", "x-time", "x-title", "x-severity"];
        assert!(is_same(&sender.limited(&[signed(&names, true)], Listed)));
        let query = read(&sender.limited(&[signed(&[], true)], Listed), SENT, "{}").attributes;
        assert_eq!((&*query.event_type, query.severity), ("ping", Severity::Critical));
        assert_eq!(query.link.as_deref(), Some("https://q.example"));
    }

    #[test]
    fn each_set_of_headers_has_its_own_signed_id() {
        let record = Record { id: &["{header:webhook-id}", "{header:svix-id}"], ..Record::EMPTY };
        let sets = [signed(&["webhook-id"], false), signed(&["svix-id"], false)];
        let sender = Sender::new("own", &record).unwrap();
        assert_eq!(sender.unsigned(&sets), []);
        let sender = sender.limited(&sets, Listed);
        let both = [("webhook-id", "fresh"), ("svix-id", "signed")];
        let key = |set| read(sender.of_set(set), &both, "{}").dedup;
        assert_eq!(key(0), Some(of_event(RepetitionSeed::default(), &["fresh"], "{}")));
        assert_eq!(key(1), Some(of_event(RepetitionSeed::default(), &["signed"], "{}")));
    }

    #[test]
    fn names_what_it_ignores() {
        let sender = Sender::new("own", &RECORD).unwrap();
        let found = sender.unsigned(&[signed(&["x-id", "x-title"], false)]);
        let found: Vec<_> =
            found.iter().map(|one| (one.attribute, &*one.part, one.instead)).collect();
        assert_eq!(
            found,
            [
                ("type", "header x-event", Instead::Listed),
                ("type", "query parameter event", Instead::Listed),
                ("subject", "header x-shop", Instead::Nothing),
                ("time", "header x-time", Instead::Nothing),
                ("severity", "header x-severity", Instead::Nothing),
                ("link", "query parameter link", Instead::Nothing),
            ]
        );
        assert_eq!(sender.unsigned(&[Coverage::Nothing]), []);
    }
}
