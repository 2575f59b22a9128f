//! Takes a body apart into its events.

use std::borrow::Cow;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::body::{self, FORM_FIELDS_MAX, View};
use super::record::Around;
use super::repetition::{Identity, Keys, Repetition};
use super::sender::{Read, Sender};
use super::{split, text};
use crate::model::{Attributes, Dedup, Event, Severity, Shape};

/// Most events in one request.
pub const EVENTS_MAX: usize = 1_000;
/// Deepest nesting of arrays and objects, the outermost included.
pub const DEPTH_MAX: usize = 64;
/// Longest key kept as it is, in bytes; of a longer one its hash is kept.
pub const DEDUP_KEY_BYTES_MAX: usize = 256;
/// The type of an event that names none.
pub const TYPE_UNKNOWN: &str = "unknown";

/// Why a signed body is refused: a sentence that its sender may see. A retry would be refused as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("the body is empty")]
    Empty,
    #[error("the body is not UTF-8, from byte {at} on")]
    NotUtf8 { at: usize },
    #[error("the body begins with a byte order mark; JSON begins with [ or {{")]
    ByteOrderMark,
    #[error("the body is not valid JSON, at line {line} column {column}")]
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
    #[error("the form in the body has more than {FORM_FIELDS_MAX} fields")]
    TooManyFields,
    #[error("the signature covers no content, so that a request can bring one event only")]
    Several,
    #[error("the multipart body's content type names no boundary")]
    NoBoundary,
}

/// What a verified request says.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    pub headers: &'a http::HeaderMap,
    /// What follows the `?` of the address.
    pub query: Option<&'a str>,
    /// Decompressed, where it was compressed.
    pub body: &'a Bytes,
    pub repetition: Repetition<'a>,
}

/// The events of a request, in its order; none for an empty array.
///
/// # Errors
/// See [`Malformed`].
pub fn normalize(sender: &Sender, input: Input<'_>) -> Result<Vec<Event>, Malformed> {
    let Input { headers, query, body, repetition } = input;
    let around = |root| Around { root, headers, query };
    let mut keys = Keys::new(repetition, body.is_empty());
    let keys = &mut keys;
    match body::view(headers, body, sender.any_body)? {
        View::Json(text) => {
            let text = text.trim_matches([' ', '\t', '\n', '\r']);
            let elements = split::split(text)?;
            match &sender.read {
                Read::Sqreen => events(sender, body, elements, &around(Vec::new()), keys),
                Read::Fields(fields) => {
                    let elements = match fields.list(text) {
                        Some(list) => split::split(list)?,
                        None => elements,
                    };
                    events(sender, body, elements, &around(fields.root(text)), keys)
                }
            }
        }
        View::Form(document) => {
            let document = document.trim_matches([' ', '\t', '\n', '\r']);
            split::split(document)?;
            let root = match &sender.read {
                Read::Fields(fields) => fields.root(document),
                Read::Sqreen => Vec::new(),
            };
            Ok(vec![event(sender, body.clone(), document, &around(root), keys)])
        }
        View::Opaque => {
            let (attributes, identity) = sender.read("", &around(Vec::new()));
            let (shape, dedup) = (Shape::Object, keys.next(identity));
            Ok(vec![Event { attributes, shape, dedup, data: body.clone() }])
        }
    }
}

fn events(
    sender: &Sender,
    body: &Bytes,
    elements: Vec<&str>,
    around: &Around<'_>,
    keys: &mut Keys<'_>,
) -> Result<Vec<Event>, Malformed> {
    keys.admit(elements.len())?;
    let event = |element: &str| {
        let data = body.slice_ref(element.as_bytes());
        event(sender, data, element, around, keys)
    };
    Ok(elements.into_iter().map(event).collect())
}

/// An element of a document, or the whole of a form; `data` is what was sent of it.
fn event(
    sender: &Sender,
    data: Bytes,
    element: &str,
    around: &Around<'_>,
    keys: &mut Keys<'_>,
) -> Event {
    if element.starts_with('{') {
        let (attributes, identity) = sender.read(element, around);
        return Event { attributes, shape: Shape::Object, dedup: keys.next(identity), data };
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
    Event { attributes, shape: Shape::Other, dedup: keys.next(Identity::Unknown), data }
}

/// A key from the sender's identifiers, empty ones included so that each keeps its place; `content`
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
