//! What a sender's body says, in one form for all senders.
//!
//! Pure. A body is a JSON array of events or one bare object; it is taken apart without being
//! changed: each event keeps exactly its own bytes, as a slice of the body. Inside an event any key
//! may be missing, null or of another type, and a number may have any size: that is never an error,
//! only a reason to fall back. Refused is only what is no such document, nested deeper than
//! [`DEPTH_MAX`] or longer than [`EVENTS_MAX`]. Nothing here recurses over the input.

mod fields;
mod json;
mod sample;
mod split;
mod sqreen;
mod text;

use std::borrow::Cow;

use bytes::Bytes;
use sha2::{Digest, Sha256};

pub use sample::Sample;

use crate::model::{Attributes, Dedup, Event, Severity, Shape};

/// Most events in one request.
pub const EVENTS_MAX: usize = 1_000;
/// Deepest nesting of arrays and objects, the outermost included.
pub const DEPTH_MAX: usize = 64;
/// Longest key kept as it is, in bytes; of a longer one its hash is kept.
pub const DEDUP_KEY_BYTES_MAX: usize = 256;
/// The type of an event that names none.
pub const TYPE_UNKNOWN: &str = "unknown";

/// How the bodies of one kind of sender are read.
#[derive(Debug)]
pub struct Sender {
    /// As written in the configuration.
    pub name: &'static str,
    /// Built-in bodies of this sender, to try rules on and to send.
    pub samples: &'static [Sample],
    /// Reads the text of a JSON object.
    read: fn(&str) -> (Attributes, Option<Dedup>),
}

/// Every sender, by name.
pub static SENDERS: &[Sender] = &[
    Sender { name: "sqreen", samples: sqreen::SAMPLES, read: sqreen::read },
    Sender { name: "json", samples: json::SAMPLES, read: json::read },
];

/// The sender of that name.
#[must_use]
pub fn sender(name: &str) -> Option<&'static Sender> {
    SENDERS.iter().find(|sender| sender.name == name)
}

/// The built-in sample of that name, such as `sqreen/test`, with its sender.
#[must_use]
pub fn sample(name: &str) -> Option<(&'static Sender, &'static Sample)> {
    let sender = sender(name.split('/').next()?)?;
    Some((sender, sender.samples.iter().find(|sample| sample.name == name)?))
}

/// Why a signed body is refused: a sentence that its sender may see. A repetition would be refused
/// as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("the body is empty")]
    Empty,
    #[error("the body is not UTF-8, from byte {at} on")]
    NotUtf8 { at: usize },
    #[error("the body begins with a byte order mark; JSON begins with [ or {{")]
    ByteOrderMark,
    #[error("the body is no JSON, at line {line} column {column}")]
    NotJson { line: usize, column: usize },
    #[error("the JSON in the body ends too early")]
    Truncated,
    #[error("something follows the JSON document, at line {line} column {column}")]
    Trailing { line: usize, column: usize },
    #[error("the body is neither a JSON object nor an array")]
    Scalar,
    #[error("the JSON is nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
    #[error("the body has more than {EVENTS_MAX} elements")]
    TooMany,
}

/// The events of a body, in its order; none for an empty array.
///
/// # Errors
/// See [`Malformed`].
pub fn normalize(sender: &Sender, body: &Bytes) -> Result<Vec<Event>, Malformed> {
    let text = std::str::from_utf8(body).map_err(|e| Malformed::NotUtf8 { at: e.valid_up_to() })?;
    let elements = split::split(text)?;
    Ok(elements.into_iter().map(|element| event(sender, body, element)).collect())
}

fn event(sender: &Sender, body: &Bytes, element: &str) -> Event {
    let data = body.slice_ref(element.as_bytes());
    if element.starts_with('{') {
        let (attributes, dedup) = (sender.read)(element);
        return Event { attributes, shape: Shape::Object, dedup, data };
    }
    let shown = text::one_line(element, 80).unwrap_or(Cow::Borrowed(""));
    let attributes = Attributes {
        event_type: TYPE_UNKNOWN.to_owned(),
        subject: None,
        time: None,
        title: format!("not a JSON object: {shown}"),
        severity: Severity::Warning,
        link: None,
    };
    Event { attributes, shape: Shape::Other, dedup: None, data }
}

/// A key from the sender's identifiers, empty ones included so that each keeps its place; `content`
/// is the part that a sender repeats unchanged.
fn dedup(identifiers: &[&str], content: &str) -> Dedup {
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
mod tests;
