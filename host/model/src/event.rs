//! A request as received, the events in it, and an event as stored.

use std::sync::Arc;

use bytes::Bytes;

use super::{EventId, RepetitionKey, Severity, Timestamp};

/// Most header fields stored with one request.
pub const HEADERS_MAX: usize = 64;
/// Most bytes of header fields stored with one request, names and values together.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Initial capacity for header fields, and for their names in bytes: most requests need less.
const HEADERS_ROOM: usize = 8;
const HEADERS_ROOM_BYTES: usize = 128;

/// The header fields stored with a request, in the order received. Names are in lower case.
///
/// All fields share two allocations: a request is created on one thread and freed on another, which makes each
/// allocation expensive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    names: String,
    values: Vec<u8>,
    /// Where a field's name and value end.
    ends: Vec<(usize, usize)>,
}

impl Headers {
    /// The name and value of each field.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let starts = std::iter::once((0, 0)).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|((name, value), ends)| (&self.names[name..ends.0], &self.values[value..ends.1]))
    }

    /// Bytes of all names and values.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.names.len() + self.values.len()
    }

    #[must_use]
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The value of the first field with this name (in lower case) whose value is UTF-8.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().filter(|(n, _)| *n == name).find_map(|(_, v)| std::str::from_utf8(v).ok())
    }
}

impl<'a> FromIterator<(&'a str, &'a [u8])> for Headers {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a [u8])>>(fields: I) -> Self {
        let mut headers = Self {
            names: String::with_capacity(HEADERS_ROOM_BYTES),
            values: Vec::with_capacity(2 * HEADERS_ROOM_BYTES),
            ends: Vec::with_capacity(HEADERS_ROOM),
        };
        for (name, value) in fields {
            headers.names.push_str(name);
            headers.values.extend_from_slice(value);
            headers.ends.push((headers.names.len(), headers.values.len()));
        }
        headers
    }
}

/// One HTTP call from a source, not yet verified.
#[derive(Clone, Debug)]
pub struct Request {
    pub source: Arc<str>,
    pub method: http::Method,
    /// Path and query as received. Any scheme and host before them are the sender's claim and ignored.
    pub uri: http::Uri,
    pub headers: http::HeaderMap,
    /// The bytes as received, which the signature covers.
    pub body: Bytes,
    pub received_at: Timestamp,
}

/// Whether an element of a request can be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A JSON object.
    Object,
    /// Any other element of an array: stored and marked, not delivered.
    Other,
}

/// What the body says about an event. Named as in CloudEvents where a name exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Never empty.
    pub event_type: String,
    /// What the event is about, in the sender's terms.
    pub subject: Option<String>,
    /// When it happened, in RFC 3339 as the sender wrote it. `None`: the sender did not say.
    pub time: Option<String>,
    /// One line for people, never empty.
    pub title: String,
    pub severity: Severity,
    /// An `http` or `https` address for people.
    pub link: Option<String>,
}

/// One verified, normalized item of a request.
#[derive(Clone, Debug)]
pub struct Event {
    pub attributes: Attributes,
    pub shape: Shape,
    /// `None`: the event never counts as a repetition.
    pub dedup: Option<RepetitionKey>,
    /// As sent, byte for byte: a slice of the request's body.
    pub data: Bytes,
}

/// A target's number in the store. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetNumber(pub u16);

/// Why a target does not get an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unrouted {
    pub target: Arc<str>,
    /// For people: `severity info is below error`.
    pub reason: String,
}

/// An event and its targets. From here on, the stored list decides who gets it.
#[derive(Clone, Debug)]
pub struct Planned {
    pub event: Event,
    /// Sorted, without duplicates.
    pub targets: Vec<TargetNumber>,
    /// Why no target gets it. Empty if one does.
    pub unrouted: Vec<Unrouted>,
}

/// An event as stored.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    pub id: EventId,
    pub source: Arc<str>,
    pub received_at: Timestamp,
    pub headers: Arc<Headers>,
    pub attributes: Attributes,
    pub data: Bytes,
}

/// Many deliveries that become one message.
#[derive(Clone, Debug)]
pub struct Digest {
    /// Some of them, at least one.
    pub sample: Vec<Delivery>,
    /// How many there are.
    pub count: u64,
    /// Identifies the message; the same for each attempt.
    pub key: String,
    /// What the plugin returned as progress at the last attempt.
    pub progress: Vec<u8>,
}

/// One event for one target, claimed and to be settled.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub event: Arc<StoredEvent>,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// When the first attempt was made. `None`: this is the first.
    pub first_attempt_at: Option<Timestamp>,
    /// What the plugin returned as progress at the last attempt.
    pub progress: Vec<u8>,
}
