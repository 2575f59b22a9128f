//! Gives each event its repetition key: the sender's id, or else the key of its request.
//!
//! Pure. Ids are the better key, because a sender that retries may change the rest. [`Repetition`] gives the
//! key of the whole request; it is computed only if needed, and the index of the event is added to it. A
//! sender may say that events without an id are always new. An empty body has no key, because nothing
//! distinguishes one such request from another.

use std::fmt;

use sha2::{Digest, Sha256};

use super::malformed::Malformed;
use crate::model::Dedup;

/// Longest key that is kept as it is, in bytes; a longer one is replaced by its hash.
pub const DEDUP_KEY_BYTES_MAX: usize = 256;

/// What identifies a repeated request, besides the ids of its events.
#[derive(Clone, Copy)]
pub enum Repetition<'a> {
    /// Nothing does.
    Unknown,
    /// This key, for events without an id.
    Key(&'a dyn Fn() -> Option<String>),
    /// Only this key: ids in the body are not signed, nor is the number of events, so one request can
    /// bring only one event.
    KeyAlone(&'a dyn Fn() -> Option<String>),
}

impl fmt::Debug for Repetition<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "Unknown",
            Self::Key(_) => "Key",
            Self::KeyAlone(_) => "KeyAlone",
        })
    }
}

/// What the sender's ids say about an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    Known(Dedup),
    /// It has no id.
    Unknown,
    /// It has no id, and two equal events are two events.
    MayRepeat,
}

impl From<Option<Dedup>> for Identity {
    fn from(dedup: Option<Dedup>) -> Self {
        dedup.map_or(Self::Unknown, Self::Known)
    }
}

/// Gives the events of one request their keys, in order.
pub(super) struct Keys<'a> {
    repetition: Repetition<'a>,
    /// Whether the body is empty.
    is_empty: bool,
    /// The key of the request, once it was computed.
    key: Option<Option<String>>,
    place: usize,
}

impl<'a> Keys<'a> {
    pub(super) const fn new(repetition: Repetition<'a>, is_empty: bool) -> Self {
        Self { repetition, is_empty, key: None, place: 0 }
    }

    /// Refuses a request that brings more events than it may.
    pub(super) const fn admit(&self, events: usize) -> Result<(), Malformed> {
        if matches!(self.repetition, Repetition::KeyAlone(_)) && events > 1 {
            return Err(Malformed::Several);
        }
        Ok(())
    }

    /// The key of the next event.
    pub(super) fn next(&mut self, identity: Identity) -> Option<Dedup> {
        let place = self.place;
        self.place += 1;
        match (self.repetition, identity) {
            (Repetition::KeyAlone(ask), _) => self.of_place(place, ask),
            (_, Identity::Known(dedup)) => Some(dedup),
            (Repetition::Key(ask), Identity::Unknown) if !self.is_empty => {
                self.of_place(place, ask)
            }
            _ => None,
        }
    }

    fn of_place(&mut self, place: usize, ask: &dyn Fn() -> Option<String>) -> Option<Dedup> {
        let key = self.key.get_or_insert_with(ask).as_deref()?;
        Some(dedup(&[key, &place.to_string()], ""))
    }
}

/// A key from the sender's identifiers, including empty ones so that each keeps its position; `content`
/// is the part that a sender repeats unchanged.
pub(super) fn dedup(identifiers: &[&str], content: &str) -> Dedup {
    let mut key = identifiers.join("/");
    if key.len() > DEDUP_KEY_BYTES_MAX {
        let digest: [u8; 32] = Sha256::digest(&key).into();
        key = digest.iter().fold("sha256:".to_owned(), |hex, byte| format!("{hex}{byte:02x}"));
    }
    Dedup { key, content: fingerprint(content) }
}

/// The first eight bytes of the text's SHA-256.
fn fingerprint(text: &str) -> u64 {
    let digest: [u8; 32] = Sha256::digest(text).into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use bytes::Bytes;

    use super::super::{Input, Record, Sender, normalize};
    use super::*;
    use crate::config::vendors::sender;

    /// The keys of the events, and how often the key of the request was computed.
    fn keys(sender: &Sender, body: &'static str, alone: bool) -> (Vec<Option<String>>, usize) {
        let asked = Cell::new(0);
        let ask = || {
            asked.set(asked.get() + 1);
            Some("signed:1".to_owned())
        };
        let repetition = if alone { Repetition::KeyAlone(&ask) } else { Repetition::Key(&ask) };
        let (headers, body) = (http::HeaderMap::new(), Bytes::from_static(body.as_bytes()));
        let input = Input { headers: &headers, query: None, body: &body, repetition };
        let events = normalize(sender, input).unwrap();
        let keys = events.into_iter().map(|event| event.dedup.map(|dedup| dedup.key));
        (keys.collect(), asked.get())
    }

    #[test]
    fn an_event_without_an_id_gets_the_key_of_its_request_and_its_index() {
        let some = |keys: &[&str]| keys.iter().map(|key| Some((*key).to_owned())).collect();
        for (name, body, expected, asked) in [
            ("json", r#"[{"id":7},{"id":8}]"#, some(&["7", "8"]), 0),
            (
                "json",
                r#"[{"id":7},{"a":1},{"a":1},5]"#,
                some(&["7", "signed:1/1", "signed:1/2", "signed:1/3"]),
                1,
            ),
            (
                "sqreen",
                r#"[{"message_type":"test","message_id":"a"},{"risk":1}]"#,
                vec![None, Some("signed:1/1".to_owned())],
                1,
            ),
            ("alertmanager", r#"{"alerts":[{"status":"firing"}]}"#, vec![None], 0),
            ("dropbox", r#"{"delta":{"users":[1]}}"#, vec![None], 0),
            ("zendesk", "", vec![None], 0),
            ("zendesk", "x", some(&["signed:1/0"]), 1),
            ("json", "[]", vec![], 0),
        ] {
            let found = keys(sender(name).unwrap(), body, false);
            assert_eq!(found, (expected, asked), "{name} {body}");
        }
    }

    #[test]
    fn a_users_sender_may_say_that_its_events_repeat() {
        let record = Record { id: &["{id}"], may_repeat: true, ..Record::EMPTY };
        let sender = Sender::new("door", &record).unwrap();
        assert_eq!(keys(&sender, "[{\"id\":1},{}]", false).0, [Some("1".to_owned()), None]);
    }

    #[test]
    fn without_signed_content_only_the_requests_key_counts_and_only_one_event_is_allowed() {
        let mailgun = sender("mailgun").unwrap();
        for body in [r#"{"event-data":{"id":"a"}}"#, r#"{"event-data":{"id":"b"}}"#] {
            assert_eq!(keys(mailgun, body, true).0, [Some("signed:1/0".to_owned())]);
        }
        let (headers, body) = (http::HeaderMap::new(), Bytes::from_static(b"[{},{}]"));
        let repetition = Repetition::KeyAlone(&|| None);
        let input = Input { headers: &headers, query: None, body: &body, repetition };
        assert_eq!(normalize(mailgun, input).unwrap_err(), Malformed::Several);
    }
}
