//! Handshakes that arrive without a signature.
//!
//! A source with `handshake = false` has none. What the answer is, is decided in `verify`.

use http::Method;
use http::request::Parts;

use super::refusal::RequestRefusal;
use super::report::Reporter;
use super::settings::SourceSettings;
use crate::model::Request;
use crate::net::Peer;
use crate::verify::{Answer, QUESTION_BYTES_MAX};

impl SourceSettings {
    /// Whether a request with this method and no body may be the vendor's handshake, though no event comes with it.
    fn may_be_handshake(&self, method: &Method) -> bool {
        let handshake = self.verifier.scheme().handshake;
        self.handshake && *method == Method::GET && handshake.is_some_and(|asked| asked.is_get())
    }

    /// Whether a request without a signature may be the vendor's handshake.
    pub(super) fn may_be_unsigned_handshake(&self, head: &Parts) -> bool {
        self.may_be_handshake(&head.method)
            || (self.handshake
                && (self.verifier.may_confirm(&head.headers)
                    || (self.verifier.may_be_asked(&head.method, &head.uri, &head.headers)
                        && is_short(head))))
    }
}

/// Whether the body is announced to be as short as a question, so that strangers cannot make the daemon read more.
fn is_short(head: &Parts) -> bool {
    match head.headers.get(http::header::CONTENT_LENGTH) {
        None => !head.headers.contains_key(http::header::TRANSFER_ENCODING),
        Some(length) => {
            let length = length.to_str().ok().and_then(|length| length.parse().ok());
            length.is_some_and(|length: usize| length <= QUESTION_BYTES_MAX)
        }
    }
}

/// The answer to a handshake that needs neither a signature nor a body; `None` if the request is not one.
pub(super) fn answer_head(
    source: &SourceSettings,
    head: &Parts,
) -> Result<Option<Answer>, RequestRefusal> {
    if head.method == Method::POST || !source.handshake {
        return Ok(None);
    }
    let Parts { method, uri, headers, .. } = head;
    if let Some(answer) = source.verifier.answer_head(method, uri, headers) {
        return Ok(Some(answer));
    }
    if !source.may_be_handshake(method) {
        return Ok(None);
    }
    source.verifier.answer_unsigned(uri).map_err(RequestRefusal::Unverified)
}

/// The answer to a request with a body that asks without a signature; `None` if it does not. It may ask a person to
/// confirm the address.
pub(super) fn answer_unsigned(
    source: &SourceSettings,
    request: &Request,
    peer: Peer,
    reporter: &Reporter,
) -> Option<Answer> {
    if let Some(answer) = source.verifier.answer_unproved(request) {
        return Some(answer);
    }
    let (token, answer) = source.verifier.token_to_confirm(&request.headers, &request.body)?;
    reporter.confirmation(source, peer, &token, request.received_at);
    Some(answer)
}
