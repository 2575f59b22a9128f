//! A request as received, the events in it, and an event as stored.

use std::sync::Arc;

use bytes::Bytes;

use super::{EventId, Severity, Timestamp};

/// Most header fields kept of one request.
pub const HEADERS_MAX: usize = 64;
/// Most bytes kept of one request's header fields, names and values together.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;

/// The header fields kept with a request, in the order received; names in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, Vec<u8>)>);

impl Headers {
    /// The first field of that name (lower case) whose value is UTF-8.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().filter(|(n, _)| n == name).find_map(|(_, v)| std::str::from_utf8(v).ok())
    }
}

/// One HTTP call from a source, not yet verified.
#[derive(Clone, Debug)]
pub struct Request {
    pub source: Arc<str>,
    pub method: http::Method,
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
