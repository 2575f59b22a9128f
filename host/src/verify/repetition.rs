//! By what a verified request is told when it is sent again.
//!
//! Pure, and worked out only when it is asked for: most senders give their events ids of their own.

use sha2::{Digest as _, Sha256};

use super::claim::Claims;
use super::codec::hex;
use super::message::{self, Message};
use super::{Replay, Verified, body_text, id};

impl Verified {
    /// What two requests have in common when one is a copy of the other: a hash of the signed bytes,
    /// which nobody without the secret can change. `None` where nothing is signed.
    #[must_use]
    pub fn replay_key(&self) -> Option<[u8; 32]> {
        let signature = self.scheme.signature()?;
        let request = &self.request;
        let in_body = body_text(signature, &request.body).ok()?;
        let claims = Claims::find(signature, &request.headers, in_body.as_deref()).ok()?;
        let stamp = message::stamp_text(signature, &request.headers, &claims).ok()?;
        let id = id(&self.scheme, signature, &request.headers, claims.set).ok()?;
        // The address may have several writings, and is the same for each request of the source.
        let message = Message::new(signature, request, id, stamp, Some("")).ok()?;
        let mut hash = Sha256::new();
        if let Some(stamp) = stamp.filter(|_| signature.stamp.as_ref().is_some_and(|s| s.covered)) {
            hash.update(stamp);
        }
        message.feed(0, |piece| hash.update(piece));
        Some(hash.finalize().into())
    }

    /// What [`Scheme::replay`](super::Scheme::replay) says a copy is told by, as a text. With
    /// [`Replay::OriginOnly`] it must count alone, because the ids in the body are not covered; else it
    /// is for events that have no id of their own. `None` where nothing tells, or the signed time does.
    #[must_use]
    pub fn repetition_key(&self) -> Option<String> {
        match self.scheme.replay() {
            Replay::SignedBytes | Replay::OriginOnly => {
                Some(format!("signed:{}", hex(&self.replay_key()?)))
            }
            Replay::Id => Some(format!("signed-id:{}", hex(self.signed_id()?))),
            Replay::Window | Replay::Open => None,
        }
    }

    /// The sender's id of the request, where the signature covers it.
    fn signed_id(&self) -> Option<&[u8]> {
        let signature = self.scheme.signature()?;
        let headers = &self.request.headers;
        let in_body = body_text(signature, &self.request.body).ok()?;
        let set = Claims::find(signature, headers, in_body.as_deref()).ok()?.set;
        id(&self.scheme, signature, headers, set).ok().filter(|id| !id.is_empty())
    }
}
