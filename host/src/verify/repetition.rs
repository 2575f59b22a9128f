//! Repetition keys of verified requests: what two copies of a request have in common.
//!
//! Pure. Computed only on demand, because most senders give their events ids.

use sha2::{Digest as _, Sha256};

use super::claim::Claims;
use super::codec::hex;
use super::message::{self, Message};
use super::{Replay, Verified, body_text, id};

impl Verified {
    /// What two requests have in common when one is a copy of the other: a hash of the signed bytes,
    /// which only the owner of the secret can change. `None` if nothing is signed.
    #[must_use]
    pub fn replay_key(&self) -> Option<[u8; 32]> {
        let signature = self.scheme.signature()?;
        let request = &self.request;
        let in_body = body_text(signature, &request.body).ok()?;
        let claims = Claims::find(signature, &request.headers, in_body.as_deref()).ok()?;
        let stamp = message::stamp_text(signature, &request.headers, &claims).ok()?;
        let id = id(&self.scheme, signature, &request.headers, claims.set).ok()?;
        // The address may have several forms; it is the same for each request of the source.
        let message = Message::new(signature, request, id, stamp, Some("")).ok()?;
        let mut hash = Sha256::new();
        if let Some(stamp) = stamp.filter(|_| signature.stamp.as_ref().is_some_and(|s| s.covered)) {
            hash.update(stamp);
        }
        message.feed(0, |piece| hash.update(piece));
        Some(hash.finalize().into())
    }

    /// The key by which [`Scheme::replay`](super::Scheme::replay) recognizes a copy. With
    /// [`Replay::OriginOnly`] it must be the only key, because ids in the body are not signed; otherwise
    /// it is for events without an id. `None` if nothing identifies a copy, or if its signed time does.
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

    /// The sender's id of the request, if the signature covers it.
    fn signed_id(&self) -> Option<&[u8]> {
        let signature = self.scheme.signature()?;
        let headers = &self.request.headers;
        let in_body = body_text(signature, &self.request.body).ok()?;
        let set = Claims::find(signature, headers, in_body.as_deref()).ok()?.set;
        id(&self.scheme, signature, headers, set).ok().filter(|id| !id.is_empty())
    }
}
