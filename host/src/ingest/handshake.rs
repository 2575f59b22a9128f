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

/// The answer to a handshake that the vendor does not sign; `None` if the request is not one.
pub(super) fn answer_unsigned(
    source: &SourceSettings,
    request: &Request,
    peer: Peer,
    reporter: &Reporter,
) -> Result<Option<Answer>, RequestRefusal> {
    if source.may_be_handshake(&request.method) {
        let answer = source.verifier.answer_unsigned(&request.uri);
        return answer.map_err(RequestRefusal::Unverified);
    }
    let token = source.verifier.token_to_confirm(&request.headers, &request.body);
    Ok(token.map(|token| {
        reporter.confirmation(source, peer, &token, request.received_at);
        Answer { status: 200, content_type: "application/json", body: "{}".to_owned() }
    }))
}
