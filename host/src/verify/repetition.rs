//! Repetition keys of verified requests: what two copies of a request have in common.
//!
//! Pure. Computed only on demand, because most senders give their events ids.

use super::claim::Claims;
use super::message::{self, Message};
use super::scheme::{Part, Signature, Stamp, StampIn};
use super::sns::Message as Sns;
use super::{Replay, Verified, VerifyRefusal, id, inside_text};
use crate::model::{KeyHasher, RepetitionKey, RepetitionSeed, Request};

/// What a key is made of: separate, so that no id can be signed bytes.
const OF_SIGNED_BYTES: u8 = 0;
const OF_ID: u8 = 1;

impl Verified {
    /// The key by which [`Scheme::replay`](super::Scheme::replay) recognizes a copy: a hash of the signed id, or
    /// else of the signed bytes, which only the owner of the secret can change. `None` if nothing is signed, or
    /// nothing that distinguishes one request from another.
    ///
    /// It does not depend on which signatures a copy still has, nor on the form of an address or a body that the
    /// signature allows to vary.
    #[must_use]
    pub fn repetition_key(&self, seed: RepetitionSeed) -> Option<RepetitionKey> {
        let mut hash = seed.hasher();
        if let Some(sns) = self.scheme.sns() {
            hash.update(&[OF_SIGNED_BYTES]);
            hash.update(Sns::read(sns, &self.request).ok()?.signed().as_bytes());
            return Some(hash.finish());
        }
        let signature = self.scheme.signature()?;
        let added = match self.scheme.replay() {
            Replay::Id => self.add_id(signature, &mut hash),
            _ => self.add_signed_bytes(signature, &mut hash),
        };
        added.is_ok_and(|added| added).then(|| hash.finish())
    }

    /// Whether [`repetition_key`](Self::repetition_key) is the only one that counts: another content, or the same
    /// fields written in another way, has the same signature.
    #[must_use]
    pub fn is_known_by_signature_alone(&self) -> bool {
        let Some(signature) = self.scheme.signature() else { return self.scheme.sns().is_some() };
        !signature.covers_content() || message::is_sorted_form(signature, &self.request)
    }

    /// Whether the signature covers the time or an id of this request, so that only a copy of it has both the same
    /// content and the same [`repetition_key`](Self::repetition_key).
    #[must_use]
    pub fn is_dated(&self) -> bool {
        let Some(signature) = self.scheme.signature() else { return self.scheme.sns().is_some() };
        let headers = &self.request.headers;
        let has_time = || {
            let in_body = inside_text(signature, &self.request)?;
            let claims = Claims::find(signature, headers, in_body.as_deref())?;
            message::stamp_text(signature, headers, &claims).map(|time| time.is_some())
        };
        let is_inside =
            |stamp: &Stamp| matches!(stamp.place, StampIn::Inside(_)) && !stamp.optional;
        match self.scheme.replay() {
            Replay::Id => true,
            _ => {
                signature.covers_stamp()
                    && (signature.stamp.as_ref().is_some_and(is_inside)
                        || has_time().unwrap_or(false))
            }
        }
    }

    /// Adds the sender's id of the request, which the signature covers. False if it is empty.
    fn add_id(&self, signature: &Signature, hash: &mut KeyHasher) -> Result<bool, VerifyRefusal> {
        let headers = &self.request.headers;
        let in_body = inside_text(signature, &self.request)?;
        let set = Claims::find(signature, headers, in_body.as_deref())?.set;
        let id = id(&self.scheme, signature, headers, set)?;
        hash.update(&[OF_ID]);
        hash.update(id);
        Ok(!id.is_empty())
    }

    /// Adds what the signature covers. False if nothing of it distinguishes one request from another.
    fn add_signed_bytes(
        &self,
        signature: &Signature,
        hash: &mut KeyHasher,
    ) -> Result<bool, VerifyRefusal> {
        let request = &self.request;
        hash.update(&[OF_SIGNED_BYTES]);
        if signature.signed == [Part::Body] && signature.stamp.is_none() {
            // The usual case: there is nothing else to look up.
            hash.update(&request.body);
            return Ok(!request.body.is_empty());
        }
        let in_body = inside_text(signature, request)?;
        let claims = Claims::find(signature, &request.headers, in_body.as_deref())?;
        let stamp = message::stamp_text(signature, &request.headers, &claims)?;
        let signed_at = stamp.filter(|_| signature.covers_stamp()).unwrap_or_default();
        if signed_at.is_empty() && !distinguishes(signature, request) {
            return Ok(false);
        }
        let id = id(&self.scheme, signature, &request.headers, claims.set)?;
        let public_url = self.public_url.as_deref();
        let message = Message::new(signature, request, id, stamp, public_url)?;
        // The time may be in the key of the signature only.
        hash.update(&(signed_at.len() as u64).to_le_bytes());
        hash.update(signed_at);
        message.feed(self.url_form, |piece| hash.update(piece));
        Ok(true)
    }
}

/// Whether anything is signed, besides the time, that differs from request to request.
fn distinguishes(signature: &Signature, request: &Request) -> bool {
    signature.signed.iter().any(|part| match part {
        Part::Body | Part::BodySha256Hex | Part::SortedForm { .. } => !request.body.is_empty(),
        Part::Url | Part::UrlAnyPort | Part::UrlDecoded | Part::Path => {
            request.uri.query().is_some_and(|query| !query.is_empty())
        }
        Part::Header(_) | Part::ListedHeaders(_) | Part::Id => true,
        Part::Text(_) | Part::Value { .. } => true,
        Part::Literal(_) | Part::Method | Part::Stamp | Part::StampIfSent(_) => false,
    })
}
