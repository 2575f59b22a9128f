//! What makes an event a repetition: its sender's id, else what tells a copy of its request.
//!
//! Pure. Ids are the better key, because a sender that tries again may write the rest anew. A copy of the
//! whole request is told by [`Repetition`], which is asked for its key only where one is needed, and of which
//! each event takes its place in the request. A sender may say that what has no id may repeat, and an
//! empty body says nothing that could tell one request from another.

use std::fmt;

use super::{Malformed, dedup};
use crate::model::Dedup;

/// What tells a request that is sent again, beside the ids of its events.
#[derive(Clone, Copy)]
pub enum Repetition<'a> {
    /// Nothing.
    Unknown,
    /// This key, for events without an id.
    Key(&'a dyn Fn() -> Option<String>),
    /// This key alone: nobody vouches for ids in the body, nor for how many events are in it, so that
    /// one request can bring one event only.
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

/// What a sender's own ids say of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    Known(Dedup),
    /// It has no id.
    Unknown,
    /// It has no id, and two equal ones are two events.
    MayRepeat,
}

impl From<Option<Dedup>> for Identity {
    fn from(dedup: Option<Dedup>) -> Self {
        dedup.map_or(Self::Unknown, Self::Known)
    }
}

/// Gives the events of one request, in their order, what tells a repetition of each.
pub(super) struct Keys<'a> {
    repetition: Repetition<'a>,
    /// Of the body.
    is_empty: bool,
    /// The request's own, once it was asked for.
    key: Option<Option<String>>,
    place: usize,
}

impl<'a> Keys<'a> {
    pub(super) const fn new(repetition: Repetition<'a>, is_empty: bool) -> Self {
        Self { repetition, is_empty, key: None, place: 0 }
    }

    /// Whether a request may bring so many.
    pub(super) const fn admit(&self, events: usize) -> Result<(), Malformed> {
        if matches!(self.repetition, Repetition::KeyAlone(_)) && events > 1 {
            return Err(Malformed::Several);
        }
        Ok(())
    }

    /// Of the next event.
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use bytes::Bytes;

    use super::super::{Input, Record, Sender, normalize};
    use super::*;
    use crate::vendors::sender;

    /// The keys of the events, and how often the request's own was asked for.
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
    fn an_event_without_an_id_is_told_by_its_request_and_its_place() {
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
    fn a_sender_of_ones_own_may_say_that_its_events_repeat() {
        let record = Record { id: &["{id}"], may_repeat: true, ..Record::EMPTY };
        let sender = Sender::new("door", &record).unwrap();
        assert_eq!(keys(&sender, "[{\"id\":1},{}]", false).0, [Some("1".to_owned()), None]);
    }

    #[test]
    fn where_no_content_is_signed_the_key_is_alone_and_so_is_the_event() {
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
