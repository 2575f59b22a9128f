//! Splits a body into its events and reads each of them.

use std::borrow::Cow;

use bytes::Bytes;

use super::body::{self, Reading, View};
use super::malformed::Malformed;
use super::record::{Around, TYPE_UNKNOWN};
use super::repetition::{Identity, Keys, Repetition};
use super::sender::{Read, Sender};
use super::{charset, sorted_form, split, text};
use crate::model::{Attributes, Event, RepetitionSeed, Severity, Shape};

/// The type and the severity of an element of a list that is not a JSON object, whatever the sender.
pub const NOT_AN_OBJECT: (&str, Severity) = (TYPE_UNKNOWN, Severity::Warning);

/// A verified request.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    pub headers: &'a http::HeaderMap,
    /// The part of the address after `?`.
    pub query: Option<&'a str>,
    /// Decompressed if it was compressed.
    pub body: &'a Bytes,
    /// The body is the form in the query of a request without a body.
    pub is_query: bool,
    pub repetition: Repetition<'a>,
    /// The secret of the keys: of the store that the events are for.
    pub seed: RepetitionSeed,
}

impl<'a> Input<'a> {
    /// An example: without a query, and no store recognizes its events.
    #[must_use]
    pub fn example(headers: &'a http::HeaderMap, body: &'a Bytes) -> Self {
        let (repetition, seed) = (Repetition::Unknown, RepetitionSeed::default());
        Self { headers, query: None, body, is_query: false, repetition, seed }
    }
}

/// What was read from a request.
#[derive(Debug)]
pub struct Normalized {
    /// In order; none for an empty array.
    pub events: Vec<Event>,
    /// The body in UTF-8, if it was sent in another character set: the events are slices of it.
    pub in_utf8: Option<Bytes>,
    /// It is a text or bytes, though it may begin like JSON.
    pub is_other: bool,
}

/// The events of a request, in order; none for an empty array.
///
/// # Errors
/// See [`Malformed`].
pub fn normalize(sender: &Sender, input: Input<'_>) -> Result<Vec<Event>, Malformed> {
    normalize_up_to(sender, input, usize::MAX).map(|read| read.events)
}

/// The same; a body in another character set may have at most `bytes_max` in UTF-8.
///
/// # Errors
/// See [`Malformed`].
pub fn normalize_up_to(
    sender: &Sender,
    input: Input<'_>,
    bytes_max: usize,
) -> Result<Normalized, Malformed> {
    let as_sent = read_or_text(sender, input);
    let is_text = matches!(as_sent, Ok((_, true)));
    if is_text || matches!(as_sent, Err(Malformed::NotUtf8 { .. } | Malformed::NotJson { .. })) {
        let in_utf8 = match charset::in_utf8(input.headers, input.body, bytes_max) {
            // A text is kept as it was sent.
            Err(_) if is_text => None,
            in_utf8 => in_utf8?,
        };
        if let Some(body) = in_utf8 {
            match read(sender, Input { body: &body, ..input }) {
                Err(_) if is_text => {}
                events => {
                    let events = events?;
                    return Ok(Normalized { events, in_utf8: Some(body), is_other: false });
                }
            }
        }
    }
    let (events, is_text) = as_sent?;
    let is_other = is_text || (sender.any_body && std::str::from_utf8(input.body).is_err());
    Ok(Normalized { events, in_utf8: None, is_other })
}

/// Reads a body in UTF-8. A text that begins like JSON, such as `[URGENT] disk is full`, is an event (true) if its sender
/// may send texts.
fn read_or_text(sender: &Sender, input: Input<'_>) -> Result<(Vec<Event>, bool), Malformed> {
    match read(sender, input) {
        Err(refused) if sender.any_body && refused.is_of_syntax() => {
            let Input { headers, query, body, repetition, seed, .. } = input;
            let around = Around { root: Vec::new(), headers, query, seed };
            Ok((vec![opaque(sender, body, &around, &mut Keys::new(repetition))], true))
        }
        read => Ok((read?, false)),
    }
}

/// Reads a body in UTF-8.
fn read(sender: &Sender, input: Input<'_>) -> Result<Vec<Event>, Malformed> {
    let Input { headers, query, body, is_query, repetition, seed } = input;
    let around = |root| Around { root, headers, query, seed };
    let mut keys = Keys::new(repetition);
    let keys = &mut keys;
    let view = match sender.reading(query) {
        _ if is_query => View::Form(sorted_form::read_query(sender, body)?),
        Reading::SortedForm if !body.is_empty() => {
            View::Form(sorted_form::read(sender, query, body)?)
        }
        reading => body::view(reading, headers, body, sender.any_body)?,
    };
    match view {
        View::Json(text) => {
            let text = text.trim_matches(split::SPACE);
            let elements = split::split(text)?;
            match &sender.read {
                Read::Sqreen => events(sender, body, elements, &around(Vec::new()), keys),
                // Each line is an event, and nothing is around it.
                Read::Fields(_) if elements.len() > 1 && text.starts_with('{') => {
                    events(sender, body, elements, &around(Vec::new()), keys)
                }
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
            let document = document.trim_matches(split::SPACE);
            split::one(document)?;
            let root = match &sender.read {
                Read::Fields(fields) => fields.root(document),
                Read::Sqreen => Vec::new(),
            };
            Ok(vec![event(sender, body.clone(), document, &around(root), keys)])
        }
        View::Opaque => Ok(vec![opaque(sender, body, &around(Vec::new()), keys)]),
    }
}

/// The event of a body in another format.
fn opaque(sender: &Sender, body: &Bytes, around: &Around<'_>, keys: &mut Keys<'_>) -> Event {
    let (mut attributes, identity) = sender.read("", around);
    if attributes.title == attributes.event_type {
        attributes.title = first_line(body).unwrap_or(attributes.title);
    }
    let (shape, dedup) = (Shape::Object, keys.next(identity));
    Event { attributes, shape, dedup, data: body.clone() }
}

/// What a text begins with, for people.
fn first_line(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body::unmarked(body)).ok()?;
    let mut lines = text.lines().filter_map(|line| text::one_line(line, text::TITLE_CHARS_MAX));
    lines.next().map(Cow::into_owned)
}

fn events(
    sender: &Sender,
    body: &Bytes,
    elements: Vec<&str>,
    around: &Around<'_>,
    keys: &mut Keys<'_>,
) -> Result<Vec<Event>, Malformed> {
    if elements.len() > sender.events_max {
        return Err(Malformed::TooMany { events_max: sender.events_max });
    }
    keys.admit(elements.len())?;
    let event = |element: &str| {
        let data = body.slice_ref(element.as_bytes());
        event(sender, data, element, around, keys)
    };
    Ok(elements.into_iter().map(event).collect())
}

/// Reads an element of a document, or a whole form; `data` is its bytes as sent.
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
        event_type: NOT_AN_OBJECT.0.to_owned(),
        subject: None,
        time: None,
        title: format!("not a JSON object: {shown}"),
        severity: NOT_AN_OBJECT.1,
        link: None,
    };
    Event { attributes, shape: Shape::Other, dedup: keys.next(Identity::Unknown), data }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normalize::Record;

    #[test]
    fn a_text_that_begins_like_json_is_a_text_where_texts_are_events() {
        let record = Record { id: &["{id}"], title: &["{title}"], any_body: true, ..Record::EMPTY };
        let sender = Sender::new("own", &record).unwrap();
        let utf_16 =
            |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        for (body, titles, has_id) in [
            (b"[URGENT] disk is full\nof db1".to_vec(), vec!["[URGENT] disk is full"], false),
            (b"{ticket} is late".to_vec(), vec!["{ticket} is late"], false),
            (b"[1] first".to_vec(), vec!["[1] first"], false),
            (br#"{"id":7,"title":"cut"#.to_vec(), vec![r#"{"id":7,"title":"cut"#], false),
            (br#"{"id":7,"title":"whole"}"#.to_vec(), vec!["whole"], true),
            (
                b"{\"id\":7,\"title\":\"a\"}\n{\"id\":8,\"title\":\"b\"}".to_vec(),
                vec!["a", "b"],
                true,
            ),
            (utf_16(r#"{"id":7,"title":"wide"}"#), vec!["wide"], true),
            ("\u{FEFF}[URGENT] marked".as_bytes().to_vec(), vec!["[URGENT] marked"], false),
        ] {
            let (headers, body) = (http::HeaderMap::new(), Bytes::from(body));
            let events = normalize(&sender, Input::example(&headers, &body)).unwrap();
            let found: Vec<_> =
                events.iter().map(|event| event.attributes.title.as_str()).collect();
            assert_eq!(found, titles, "{}", body.escape_ascii());
            assert!(events.iter().all(|event| event.dedup.is_some() == has_id), "{found:?}");
        }
        // Bytes that only begin like JSON, also in UTF-16, are kept.
        for body in [&b"[\0\0\0'}\x1b\0"[..], b"[St\xf6rung]"] {
            let (headers, body) = (http::HeaderMap::new(), Bytes::from_static(body));
            let read = normalize_up_to(&sender, Input::example(&headers, &body), 99).unwrap();
            assert!(read.is_other && read.events[0].data == body);
        }
    }
}
