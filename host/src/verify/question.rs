//! Answers the questions of vendors that only want to see their own text, or a 2xx, before they send events.
//!
//! A question is data: a method, what must be there, and what to answer. No answer contains anything that is made with
//! a secret, so no answer is of use to a forger; handshakes that sign are in `handshake`. A request that could be an event
//! is a question only if it has nothing else (`alone`). Text is repeated only if it has at most [`REPEAT_BYTES_MAX`]
//! printable ASCII characters, none of which has a meaning in HTML.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, Method, Uri};

use super::answer::Answer;
use super::scheme::{Place, Proof, Scheme, Spot, TokenIn};
use super::{Text, json, spot, url};
use crate::model::Request;

/// Longest text that is repeated, in bytes.
pub const REPEAT_BYTES_MAX: usize = 512;
/// Longest body of a question that is unsigned or could be an event, in bytes.
pub const QUESTION_BYTES_MAX: usize = 4096;
/// Most questions of a source or a vendor.
pub const QUESTIONS_MAX: usize = 8;

/// A request that asks whether an address is ours, and brings no events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub method: Method,
    /// What the request has.
    pub has: Vec<Sign>,
    /// What the answer repeats. The request must have it.
    pub repeat: Option<Asked>,
    pub reply: Reply,
    /// It is asked without a signature or secret.
    pub unsigned: bool,
}

/// Something by which a question is recognized, with one of these values; with any if there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sign {
    pub place: Asked,
    pub values: Vec<Text>,
}

/// Where in a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    Header(HeaderName),
    Inside(Spot),
}

/// The form of an answer; its status is 200.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The repeated text, or nothing.
    Text,
    /// An object with the repeated text under this name.
    Json(Text),
    /// The repeated text in this header, and no body.
    Header(HeaderName),
}

/// The head of a request, and its body if that was read.
#[derive(Clone, Copy)]
pub(super) struct Asking<'r> {
    pub method: &'r Method,
    pub uri: &'r Uri,
    pub headers: &'r HeaderMap,
    pub request: Option<&'r Request>,
}

impl<'r> Asking<'r> {
    pub(super) const fn whole(request: &'r Request) -> Self {
        let Request { method, uri, headers, .. } = request;
        Self { method, uri, headers, request: Some(request) }
    }
}

impl Asked {
    /// Its text; an error if it is in a body that was not read.
    fn text(&self, asking: Asking<'_>) -> Result<Option<String>, NeedsBody> {
        let single = |mut values: Box<dyn Iterator<Item = Vec<u8>> + '_>| {
            let first = values.next().and_then(|value| String::from_utf8(value).ok());
            first.filter(|_| values.next().is_none())
        };
        Ok(match (self, asking.request) {
            (Self::Header(name), _) => {
                let values = asking.headers.get_all(name).iter();
                single(Box::new(values.map(|value| value.as_bytes().to_vec())))
            }
            (Self::Inside(Spot::Query(name)), _) => {
                let query = asking.uri.query().unwrap_or_default();
                single(Box::new(url::parameter(query, name)))
            }
            (Self::Inside(Spot::Json(pointer)), Some(request)) => {
                json::text_or_truth_at(&request.body, pointer).map(Cow::into_owned)
            }
            (Self::Inside(spot), Some(request)) => {
                spot::text(std::slice::from_ref(spot), request).map(Cow::into_owned)
            }
            (Self::Inside(_), None) => return Err(NeedsBody),
        })
    }
}

/// Only the body can tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct NeedsBody;

impl Sign {
    fn is_in(&self, asking: Asking<'_>) -> Result<bool, NeedsBody> {
        let found = self.place.text(asking)?;
        let is_one =
            |text: String| self.values.is_empty() || self.values.iter().any(|v| **v == text);
        Ok(found.is_some_and(is_one))
    }
}

impl Question {
    /// Every request by its method is this question.
    #[must_use]
    pub const fn is_unconditional(&self) -> bool {
        self.has.is_empty() && self.repeat.is_none()
    }

    /// The answer, if the request is this question.
    pub(super) fn answer(&self, asking: Asking<'_>) -> Result<Option<Answer>, NeedsBody> {
        if self.method != asking.method {
            return Ok(None);
        }
        let mut needs_body = false;
        for mark in &self.has {
            match mark.is_in(asking) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(NeedsBody) => needs_body = true,
            }
        }
        let repeat = match self.repeat.as_ref().map(|repeat| repeat.text(asking)) {
            None => None,
            Some(Ok(Some(text))) if is_repeatable(&text) => Some(text),
            Some(Ok(_)) => return Ok(None),
            Some(Err(NeedsBody)) => return Err(NeedsBody),
        };
        if needs_body {
            return Err(NeedsBody);
        }
        let text = repeat.unwrap_or_default();
        Ok(Some(match &self.reply {
            Reply::Text => Answer::text(text),
            Reply::Json(name) => Answer::json(serde_json::json!({ &**name: text }).to_string()),
            Reply::Header(name) => Answer::header(name.clone(), text),
        }))
    }
}

/// Whether a text is short and plain enough to be repeated to a stranger.
#[must_use]
pub fn is_repeatable(text: &str) -> bool {
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && !b"<>&\"'`\\".contains(&byte);
    (1..=REPEAT_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain)
}

impl Scheme {
    /// Whether a request has what the scheme verifies: then it is not an unsigned question.
    pub(super) fn is_proved_by(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let has = |name: &HeaderName| headers.contains_key(name);
        match &self.proof {
            Proof::Signature(signature) => match &signature.place {
                Place::First(names) | Place::Each(names) => names.iter().any(has),
                // It may be in the body, so such a scheme has no unsigned questions with one.
                Place::Inside(_) => true,
            },
            Proof::Token(TokenIn::Header(name)) => has(name),
            Proof::Token(TokenIn::Query(name)) => {
                url::parameter(uri.query().unwrap_or_default(), name).next().is_some()
            }
            Proof::Basic | Proof::Jwt(_) => has(&http::header::AUTHORIZATION),
            Proof::Sns(_) | Proof::None => false,
        }
    }
}
