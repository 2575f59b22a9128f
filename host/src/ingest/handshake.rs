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
use crate::verify::Answer;

impl SourceSettings {
    /// Whether a request with this method may be the vendor's handshake, though no event comes with it.
    pub(super) fn may_be_handshake(&self, method: &Method) -> bool {
        let handshake = self.verifier.scheme().handshake;
        self.handshake && *method == Method::GET && handshake.is_some_and(|asked| asked.is_get())
    }

    /// Whether a request without a signature may be the vendor's handshake.
    pub(super) fn may_be_unsigned_handshake(&self, head: &Parts) -> bool {
        self.may_be_handshake(&head.method)
            || (self.handshake && self.verifier.may_confirm(&head.headers))
    }
}

/// The answer to a handshake that is a GET without a signature; `None` if the request is not one. Needs no body.
pub(super) fn answer_get(
    source: &SourceSettings,
    head: &Parts,
) -> Result<Option<Answer>, RequestRefusal> {
    if !source.may_be_handshake(&head.method) {
        return Ok(None);
    }
    source.verifier.answer_unsigned(&head.uri).map_err(RequestRefusal::Unverified)
}

/// The answer to a request that asks a person to confirm the address, and is not signed; `None` if it is not one.
pub(super) fn answer_confirmation(
    source: &SourceSettings,
    request: &Request,
    peer: Peer,
    reporter: &Reporter,
) -> Option<Answer> {
    let token = source.verifier.token_to_confirm(&request.headers, &request.body)?;
    reporter.confirmation(source, peer, &token, request.received_at);
    Some(Answer { status: 200, content_type: "application/json", body: "{}".to_owned() })
}
