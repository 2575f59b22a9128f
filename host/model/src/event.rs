//! A request as received, the events in it, and an event as stored.

use std::sync::Arc;

use bytes::Bytes;

use super::{EventId, Severity, Timestamp};

/// Most header fields kept of one request.
pub const HEADERS_MAX: usize = 64;
/// Most bytes kept of one request's header fields, names and values together.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;
/// First room for header fields and for their names in bytes: most requests have less.
const HEADERS_ROOM: usize = 8;
const HEADERS_ROOM_BYTES: usize = 128;

/// The header fields kept with a request, in the order received; names in lower case.
///
/// Texts of all fields lie in one piece: a request is made on one thread and let go on another, and
/// each piece of memory that goes that way costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    names: String,
    values: Vec<u8>,
    /// Where a field's name and value end.
    ends: Vec<(usize, usize)>,
}

impl Headers {
    /// Name and value of each field.
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

    /// The first field of that name (lower case) whose value is UTF-8.
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
    /// Path and query as they came; what stands before them is the sender's word and not looked at.
    pub uri: http::Uri,
    pub headers: http::HeaderMap,
    /// The bytes as they came: what the signature covers.
    pub body: Bytes,
    pub received_at: Timestamp,
}

/// Whether an element of a request can be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A JSON object.
    Object,
    /// Any other element of an array: kept and marked, not delivered.
    Other,
}

/// What the sender's body says of an event, in CloudEvents' names where they exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Never empty.
    pub event_type: String,
    /// What the event is about in the sender's world.
    pub subject: Option<String>,
    /// When it happened, RFC 3339 as the sender wrote it; `None` when it did not say.
    pub time: Option<String>,
    /// One line for people, never empty.
    pub title: String,
    pub severity: Severity,
    /// An `http` or `https` address for people.
    pub link: Option<String>,
}

/// What makes two events the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dedup {
    /// The sender's own identifiers, joined; unique within the source.
    pub key: String,
    /// Fingerprint of the part that repeats unchanged. The same key with another one is a new event.
    pub content: u64,
}

/// One verified, normalized item of a request.
#[derive(Clone, Debug)]
pub struct Event {
    pub attributes: Attributes,
    pub shape: Shape,
    /// `None`: the event is never taken for a repetition.
    pub dedup: Option<Dedup>,
    /// As sent, byte for byte: a slice of the request's body.
    pub data: Bytes,
}

/// A target's number in the store; given once, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetNumber(pub u16);

/// Why a target does not get an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unrouted {
    pub target: Arc<str>,
    /// For people: `severity info is below error`.
    pub reason: String,
}

/// An event and where it goes. The stored list decides membership from here on.
#[derive(Clone, Debug)]
pub struct Planned {
    pub event: Event,
    /// Sorted, without repetition.
    pub targets: Vec<TargetNumber>,
    /// Why no target gets it; empty when one does.
    pub unrouted: Vec<Unrouted>,
}

/// An event as the store keeps it.
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
    /// The same for each attempt at them.
    pub key: String,
    /// What the plugin handed over at the last attempt.
    pub progress: Vec<u8>,
}

/// One event for one target, claimed and to be settled.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub event: Arc<StoredEvent>,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// When the first attempt was made; `None` when this is it.
    pub first_attempt_at: Option<Timestamp>,
    /// What the plugin handed over at the last attempt.
    pub progress: Vec<u8>,
}
