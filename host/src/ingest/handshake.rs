//! Questions that vendors ask besides sending events, as far as they come without a signature.
//!
//! A source that does not ask (`handshake = false`) has none of this. What is answered is decided in
//! `verify`.

use http::Method;
use http::request::Parts;

use super::refusal::Refusal;
use super::{Ingest, SourceSettings};
use crate::model::{Request, Timestamp};
use crate::net::Peer;
use crate::telemetry;
use crate::verify::Answer;

impl SourceSettings {
    /// Whether the vendor asks by this method, though it sends no events by it.
    pub(super) fn may_ask(&self, method: &Method) -> bool {
        let handshake = self.verifier.scheme().handshake;
        self.handshake && *method == Method::GET && handshake.is_some_and(|asked| asked.is_get())
    }

    /// Whether a request without a signature may be a question.
    pub(super) fn may_ask_unsigned(&self, head: &Parts) -> bool {
        self.may_ask(&head.method) || (self.handshake && self.verifier.may_confirm(&head.headers))
    }
}

impl Ingest {
    /// The answer to a question that the vendor does not sign; `None` when it is none.
    pub(super) fn asked_unsigned(
        &self,
        source: &SourceSettings,
        peer: Peer,
        request: &Request,
    ) -> Result<Option<Answer>, Refusal> {
        if source.may_ask(&request.method) {
            return source.verifier.answer_unsigned(&request.uri).map_err(Refusal::Unverified);
        }
        let token = source.verifier.token_to_confirm(&request.headers, &request.body);
        Ok(token.map(|token| {
            self.show_token(source, peer, &token, request.received_at);
            Answer { status: 200, content_type: "application/json", body: "{}".to_owned() }
        }))
    }

    /// Shows a person the token that the vendor wants to see. It becomes the secret, so that it goes to
    /// memory alone, which only the owner's socket reads, and never into the log.
    fn show_token(&self, source: &SourceSettings, peer: Peer, token: &str, at: Timestamp) {
        tracing::warn!(source = %source.name,
            "the sender wants its address confirmed: `dispatcher refused` shows the token for it");
        let reason = format!(
            "it wants its address confirmed with the token {token}: enter that there, then make it \
             this source's secret and take handshake = true away"
        );
        let told = telemetry::Refusal {
            at_ms: at.as_millis(),
            request: "handshake".into(),
            from: peer.to_string(),
            status: 200,
            reason,
        };
        self.feed.history().refused(Some(&source.name), told);
    }
}
