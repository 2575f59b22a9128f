//! What a sender's body says, in one form for all senders.
//!
//! Pure. A body is a JSON array of events or one bare object, which may hold the array; it is taken
//! apart without being changed: each event keeps exactly its own bytes, as a slice of the body. Inside
//! an event any key may be missing, null or of another type, and a number may have any size: that is
//! never an error, only a reason to fall back. Refused is only what is no such document, nested deeper
//! than [`DEPTH_MAX`] or longer than [`EVENTS_MAX`]. A form is kept whole and read as if it were an
//! object (`body`). Where attributes stand is data: a [`Record`] a sender (`senders`, or a user's own).
//! Nothing here recurses over the input.

mod again;
mod body;
mod fields;
mod paths;
mod record;
mod sample;
mod senders;
mod split;
mod sqreen;
mod template;
mod text;
mod words;

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use sha2::{Digest, Sha256};

pub use again::Again;
pub use body::FORM_FIELDS_MAX;
pub use paths::InvalidPath;
pub use record::{InvalidRecord, Record, TEMPLATES_MAX};
pub use sample::Sample;
pub use senders::ALSO;
pub use template::{InvalidTemplate, TEMPLATE_BYTES_MAX};

use crate::model::{Attributes, Dedup, Event, Severity, Shape};
use again::{Identity, Keys};
use body::View;
use record::{Around, Fields};
use senders::Preset;

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
    pub name: Cow<'static, str>,
    /// Who sends so, for people.
    pub vendor: Cow<'static, str>,
    /// What is known of how it sends.
    pub habit: Habit,
    /// Built-in bodies of this sender, to try rules on and to send; none of a user's own.
    pub samples: &'static [Sample],
    /// Bodies that are neither JSON nor a form are events too.
    any_body: bool,
    read: Read,
}

/// How a vendor sends, as far as its documentation says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Habit {
    /// The vendor waits so many seconds for an answer.
    pub deadline_s: Option<u16>,
    /// Whether and how long it tries again: `"for 3 days"`; empty where it is not known.
    pub retries: &'static str,
}

#[derive(Debug)]
enum Read {
    Sqreen,
    Fields(Box<Fields>),
}

static PRESETS: LazyLock<Vec<Arc<Sender>>> = LazyLock::new(|| {
    // That each of them can be used is what a test of `senders` promises.
    senders::all().filter_map(|preset| Sender::of(preset).ok()).map(Arc::new).collect()
});

/// Every built-in sender.
#[must_use]
pub fn presets() -> &'static [Arc<Sender>] {
    &PRESETS
}

/// The built-in sender of that name, or of a scheme of that name.
#[must_use]
pub fn sender(name: &str) -> Option<&'static Arc<Sender>> {
    let also = senders::ALSO.iter().find(|(other, _)| *other == name);
    let name = also.map_or(name, |(_, name)| name);
    PRESETS.iter().find(|sender| sender.name == name)
}

/// The built-in sample of that name, such as `sqreen/test`, with its sender.
#[must_use]
pub fn sample(name: &str) -> Option<(&'static Arc<Sender>, &'static Sample)> {
    let sender = sender(name.split('/').next()?)?;
    Some((sender, sender.samples.iter().find(|sample| sample.name == name)?))
}

impl Sender {
    /// A user's own sender.
    ///
    /// # Errors
    /// The first template that cannot be used.
    pub fn own(name: &str, record: &Record<'_>) -> Result<Self, InvalidRecord> {
        Ok(Self {
            name: Cow::Owned(name.to_owned()),
            vendor: Cow::Borrowed("your own"),
            habit: Habit::default(),
            samples: &[],
            any_body: record.any_body,
            read: Read::Fields(Box::new(Fields::new(record)?)),
        })
    }

    /// Whether bodies that are neither JSON nor a form are events too.
    #[must_use]
    pub const fn takes_any_body(&self) -> bool {
        self.any_body
    }

    fn of(preset: &Preset) -> Result<Self, InvalidRecord> {
        let read = match &preset.record {
            None => Read::Sqreen,
            Some(record) => Read::Fields(Box::new(Fields::new(record)?)),
        };
        Ok(Self {
            name: Cow::Borrowed(preset.name),
            vendor: Cow::Borrowed(preset.vendor),
            habit: preset.habit,
            samples: preset.samples,
            any_body: preset.record.is_some_and(|record| record.any_body),
            read,
        })
    }
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
    pub again: Again<'a>,
}

/// The events of a request, in its order; none for an empty array.
///
/// # Errors
/// See [`Malformed`].
pub fn normalize(sender: &Sender, input: Input<'_>) -> Result<Vec<Event>, Malformed> {
    let Input { headers, query, body, again } = input;
    let around = |root| Around { root, headers, query };
    let mut keys = Keys::new(again, body.is_empty());
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

impl Sender {
    fn read(&self, element: &str, around: &Around<'_>) -> (Attributes, Identity) {
        match &self.read {
            Read::Sqreen => sqreen::read(element),
            Read::Fields(fields) => fields.read(element, around),
        }
    }
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
