//! Gives each event its repetition key: a hash of the sender's id and the content, or else of what its request's
//! signature covers.
//!
//! Pure. An event has one identity. Ids are the better one, because a sender that retries may change the rest; the
//! content belongs to it, so that an id which comes with another content is a new event, and known again later.
//! Without an id, [`Repetition`] identifies the request, and the index of the event is added to it. It is computed
//! only if needed.
//!
//! **Why one key is enough:** an id counts only if the signature covers it, and a body is read by its signed bytes
//! alone. So a copy of a request has the same events with the same ids, and every event of it has the key that it
//! had before. Where other bytes have the same signature, ids and content may differ between two copies: there the
//! request alone identifies the event ([`Repetition::KeyAlone`]), and it may bring only one.
//!
//! A sender may say that equal events without an id are several; a signed time or id of the request still identifies a
//! copy. An empty body without a signed time has no key, because nothing distinguishes one such request from another.

use std::fmt;

use super::malformed::Malformed;
use crate::model::{RepetitionKey, RepetitionSeed};

/// What identifies a repeated request, besides the ids of its events.
#[derive(Clone, Copy)]
pub enum Repetition<'a> {
    /// Nothing does.
    Unknown,
    /// No event is a repetition, not even with an id.
    Never,
    /// This key, for events without an id.
    Key(&'a dyn Fn() -> Option<RepetitionKey>),
    /// The same. It contains the signed time or id, by which two honest requests differ though their bodies are equal
    /// (unless both are of the same second), so it counts also for a sender whose equal events are several.
    Dated(&'a dyn Fn() -> Option<RepetitionKey>),
    /// Only this key: neither the ids in the body nor the number of events is signed, so one request can bring
    /// only one event.
    KeyAlone(&'a dyn Fn() -> Option<RepetitionKey>),
}

impl fmt::Debug for Repetition<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "Unknown",
            Self::Never => "Never",
            Self::Key(_) => "Key",
            Self::Dated(_) => "Dated",
            Self::KeyAlone(_) => "KeyAlone",
        })
    }
}

/// What the sender's ids say about an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    Known(RepetitionKey),
    /// It has no id.
    Unknown,
    /// It has no id, and two equal events are two events, unless the request is known.
    MayRepeat,
}

impl From<Option<RepetitionKey>> for Identity {
    fn from(key: Option<RepetitionKey>) -> Self {
        key.map_or(Self::Unknown, Self::Known)
    }
}

/// Gives the events of one request their keys, in order.
pub(super) struct Keys<'a> {
    repetition: Repetition<'a>,
    /// The key of the request, once it was computed.
    key: Option<Option<RepetitionKey>>,
    place: u64,
}

impl<'a> Keys<'a> {
    pub(super) const fn new(repetition: Repetition<'a>) -> Self {
        Self { repetition, key: None, place: 0 }
    }

    /// Refuses a request that brings more events than it may.
    pub(super) const fn admit(&self, events: usize) -> Result<(), Malformed> {
        if matches!(self.repetition, Repetition::KeyAlone(_)) && events > 1 {
            return Err(Malformed::Several);
        }
        Ok(())
    }

    /// The key of the next event.
    pub(super) fn next(&mut self, identity: Identity) -> Option<RepetitionKey> {
        let place = self.place;
        self.place += 1;
        match (self.repetition, identity) {
            (Repetition::Never, _) => None,
            (Repetition::KeyAlone(ask), _)
            | (Repetition::Key(ask) | Repetition::Dated(ask), Identity::Unknown)
            | (Repetition::Dated(ask), Identity::MayRepeat) => {
                Some(of_request((*self.key.get_or_insert_with(ask))?, place))
            }
            (_, Identity::Known(key)) => Some(key),
            _ => None,
        }
    }
}

/// What the key of an event is made of. What the key of a request is made of begins with other numbers.
const OF_EVENT: u8 = 2;

/// The key of the event at that index of a request without ids. Adding the index is as good as another hash: the key of
/// a request is one already.
pub(super) fn of_request(request: RepetitionKey, place: u64) -> RepetitionKey {
    let numbered = u128::from_be_bytes(request).wrapping_add(u128::from(place));
    numbered.to_be_bytes()
}

/// The key from the sender's identifiers, including empty ones so that each keeps its position; `content` is the
/// part that a sender repeats unchanged, empty if only the identifiers count.
pub(super) fn of_event(seed: RepetitionSeed, identifiers: &[&str], content: &str) -> RepetitionKey {
    let mut hash = seed.hasher();
    hash.update(&[OF_EVENT]);
    hash.update(&(identifiers.len() as u64).to_le_bytes());
    for identifier in identifiers {
        // The length keeps ("ab", "c") apart from ("a", "bc").
        hash.update(&(identifier.len() as u64).to_le_bytes());
        hash.update(identifier.as_bytes());
    }
    hash.update(content.as_bytes());
    hash.finish()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;

    use bytes::Bytes;

    use super::super::sender::Read;
    use super::super::{Input, Record, Sender, normalize};
    use super::*;
    use crate::config::vendors::{sender, senders};

    const REQUEST: RepetitionKey = [9; 16];

    fn read(
        sender: &Sender,
        body: &'static str,
        repetition: Repetition<'_>,
    ) -> Result<Vec<Option<RepetitionKey>>, Malformed> {
        let (headers, body) = (http::HeaderMap::new(), Bytes::from_static(body.as_bytes()));
        let input = Input {
            headers: &headers,
            query: None,
            body: &body,
            is_query: false,
            repetition,
            seed: RepetitionSeed::default(),
        };
        Ok(normalize(sender, input)?.into_iter().map(|event| event.dedup).collect())
    }

    /// The keys of the events, and how often the key of the request was computed.
    fn keys(
        sender: &Sender,
        body: &'static str,
        alone: bool,
    ) -> (Vec<Option<RepetitionKey>>, usize) {
        let asked = Cell::new(0);
        let ask = || {
            asked.set(asked.get() + 1);
            Some(REQUEST)
        };
        let repetition = if alone { Repetition::KeyAlone(&ask) } else { Repetition::Key(&ask) };
        let keys = read(sender, body, repetition).unwrap();
        (keys, asked.get())
    }

    #[test]
    fn an_event_without_an_id_gets_the_key_of_its_request_and_its_index() {
        let id =
            |id: &str, content: &str| Some(of_event(RepetitionSeed::default(), &[id], content));
        let at = |place: u64| Some(of_request(REQUEST, place));
        for (name, body, expected, asked) in [
            (
                "json",
                r#"[{"id":7},{"id":8}]"#,
                vec![id("7", r#"{"id":7}"#), id("8", r#"{"id":8}"#)],
                0,
            ),
            (
                "json",
                r#"[{"id":7},{"a":1},{"a":1},5]"#,
                vec![id("7", r#"{"id":7}"#), at(1), at(2), at(3)],
                1,
            ),
            (
                "sqreen",
                r#"[{"message_type":"test","message_id":"a"},{"risk":1}]"#,
                vec![None, at(1)],
                1,
            ),
            ("alertmanager", r#"{"alerts":[{"status":"firing"}]}"#, vec![None], 0),
            ("dropbox", r#"{"delta":{"users":[1]}}"#, vec![None], 0),
            ("zendesk", "", vec![at(0)], 1),
            ("zendesk", "x", vec![at(0)], 1),
            ("json", "[]", vec![], 0),
        ] {
            let found = keys(sender(name).unwrap(), body, false);
            assert_eq!(found, (expected, asked), "{name} {body}");
        }
        // A signed time or id distinguishes it though equal events are several.
        let dated = |name| {
            read(sender(name).unwrap(), "{\"a\":1}", Repetition::Dated(&|| Some(REQUEST))).unwrap()
        };
        assert_eq!(dated("dropbox"), [at(0)]);
        // Nothing distinguishes the request.
        let nothing = read(sender("zendesk").unwrap(), "", Repetition::Key(&|| None));
        assert_eq!(nothing.unwrap(), [None]);
    }

    #[test]
    fn a_users_sender_may_say_that_its_events_repeat() {
        let record = Record { id: &["{id}"], may_repeat: true, ..Record::EMPTY };
        let sender = Sender::new("door", &record).unwrap();
        let known = of_event(RepetitionSeed::default(), &["1"], r#"{"id":1}"#);
        assert_eq!(keys(&sender, "[{\"id\":1},{}]", false).0, [Some(known), None]);
    }

    /// These vendors send equal bytes for two events. A copy of their requests is a new event too, so that a vendor
    /// is added here only if that is known of it.
    #[test]
    fn these_built_in_senders_repeat_equal_events() {
        let repeat = |sender: &&Arc<Sender>| match &sender.read {
            Read::Fields(fields) => fields.may_repeat,
            Read::Sqreen => false,
        };
        let names: Vec<&str> =
            senders().iter().filter(repeat).map(|sender| &*sender.name).collect();
        assert_eq!(names, ["alertmanager", "dropbox", "grafana"]);
    }

    #[test]
    fn a_key_of_a_source_alone_identifies_its_events() {
        let json = sender("json").unwrap();
        let keyed = json.with_id_alone(&["{order}-{state}", "{order}"]).unwrap().unwrap();
        let body =
            r#"[{"order":1,"state":"a","id":7},{"order":1,"state":"a"},{"order":2},{"id":7}]"#;
        let request = Some(of_request(REQUEST, 3));
        let known = |id: &[&str]| Some(of_event(RepetitionSeed::default(), id, ""));
        let found = keys(&keyed, body, false).0;
        let both = known(&["0", "1", "a"]);
        assert_eq!(found, [both, both, known(&["1", "2"]), request]);
        let body = r#"[{"order":"1-a"},{"order":"1-a","state":"b"},{"order":1,"state":"a-b"}]"#;
        let found = keys(&keyed, body, false).0;
        assert_eq!(
            found,
            [known(&["1", "1-a"]), known(&["0", "1-a", "b"]), known(&["0", "1", "a-b"])]
        );
        assert!(sender("sqreen").unwrap().with_id_alone(&["{a}"]).unwrap().is_none());
        assert_eq!(json.with_id_alone(&["{a", "{b}"]).unwrap_err().text, "{a");
    }

    #[test]
    fn if_each_event_is_new_not_even_an_id_counts() {
        for body in [r#"[{"id":7},{"a":1}]"#, "{}"] {
            let keys = read(sender("json").unwrap(), body, Repetition::Never).unwrap();
            assert!(keys.iter().all(Option::is_none), "{body} {keys:?}");
        }
    }

    #[test]
    fn without_signed_content_only_the_requests_key_counts_and_only_one_event_is_allowed() {
        let mailgun = sender("mailgun").unwrap();
        for body in [r#"{"event-data":{"id":"a"}}"#, r#"{"event-data":{"id":"b"}}"#] {
            assert_eq!(keys(mailgun, body, true).0, [Some(of_request(REQUEST, 0))]);
        }
        let refused = read(mailgun, "[{},{}]", Repetition::KeyAlone(&|| None));
        assert_eq!(refused.unwrap_err(), Malformed::Several);
    }

    #[test]
    fn identifiers_and_content_do_not_run_into_each_other() {
        let keys = [
            of_event(RepetitionSeed::default(), &["ab", "c"], ""),
            of_event(RepetitionSeed::default(), &["a", "bc"], ""),
            of_event(RepetitionSeed::default(), &["abc"], ""),
            of_event(RepetitionSeed::default(), &["ab"], "c"),
            of_event(RepetitionSeed::default(), &["", "ab", "c"], ""),
            of_event(RepetitionSeed::default(), &[], "abc"),
        ];
        for (place, key) in keys.iter().enumerate() {
            assert!(!keys[..place].contains(key), "{place}");
        }
    }
}
