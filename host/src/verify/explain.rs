//! Explains a refusal to a person: what was signed, what was expected, and the likely cause.
//!
//! The cause is found by trying variants: the body re-serialized, the secret decoded another way, another
//! address. That takes many hashes, so only commands do it, never the path of a request. Digests are cut
//! to a prefix, because a whole expected digest would be a valid signature. Secrets are never shown. Limits: [`PREVIEW_BYTES_MAX`] of what was signed, [`SEARCH_BYTES_MAX`] of a body.

mod accident;
mod rewrite;

use std::sync::Arc;

use super::claim::{Claims, SIGNATURE_BYTES_MAX, decode};
use super::codec::{base64, hex};
use super::key::Key;
use super::message::{self, Message};
use super::scheme::{Encoding, Proof, Scheme, Signature, StampIn};
use super::{Verifier, VerifyRefusal, id, inside_text, jwt, spot, stamp};
use crate::model::{Request, Secret, Timestamp, counted, printable};

/// Bytes shown of what was signed: half from its beginning, half from its end.
pub const PREVIEW_BYTES_MAX: usize = 160;
/// Longest body that is re-serialized in search of a cause.
pub const SEARCH_BYTES_MAX: usize = 1024 * 1024;
/// Characters shown of a digest: enough to compare by eye, far too few to use.
const DIGEST_CHARACTERS_SHOWN: usize = 8;

/// What is known of a refused request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    pub refused: VerifyRefusal,
    /// Lines for people: a label and a text.
    pub lines: Vec<(&'static str, String)>,
    /// Likely causes: with any of them undone, the request is accepted.
    pub accidents: Vec<String>,
}

/// Why the request is refused with these secrets; `None` if it is accepted. Also tries the schemes in
/// `others`.
#[must_use]
pub fn explain(
    scheme: &Arc<Scheme>,
    secrets: &[Secret],
    public_url: Option<&str>,
    request: &Request,
    others: &[Arc<Scheme>],
) -> Option<Explanation> {
    let verifier = Verifier::new(scheme, secrets, public_url).ok()?;
    let refused = verifier.verify(request.clone()).err()?;
    if let Proof::Jwt(jwt) = &scheme.proof {
        // No other secret or scheme would help.
        let (lines, accidents) = (jwt::shown(jwt, &request.headers), Vec::new());
        return Some(Explanation { refused, lines, accidents });
    }
    let mut lines = Vec::new();
    if let Proof::Signature(signature) = &scheme.proof {
        let inside = Inside { scheme, signature, public_url, request };
        lines = inside.lines(&verifier.keys);
    }
    let search = accident::Search::new(scheme, secrets, public_url, request);
    let accidents = match &refused {
        // A wrong clock is not a problem of the signature; only the unit of the time can be the cause.
        VerifyRefusal::Stale { .. } | VerifyRefusal::Future { .. } => search.wrong_unit(),
        // Nothing went wrong by accident: no other signature would help.
        VerifyRefusal::SignedOnRequest => Vec::new(),
        _ => search.all(others),
    };
    Some(Explanation { refused, lines, accidents })
}

/// What was signed in an accepted request, and when.
#[must_use]
pub fn describe(
    scheme: &Arc<Scheme>,
    public_url: Option<&str>,
    request: &Request,
) -> Vec<(&'static str, String)> {
    let signature = match &scheme.proof {
        Proof::Signature(signature) => signature,
        Proof::Jwt(jwt) => return jwt::shown(jwt, &request.headers),
        _ => return Vec::new(),
    };
    Inside { scheme, signature, public_url, request }.lines(&[])
}

/// A request with the scheme that reads it.
struct Inside<'r> {
    scheme: &'r Scheme,
    signature: &'r Signature,
    public_url: Option<&'r str>,
    request: &'r Request,
}

impl Inside<'_> {
    fn lines(&self, keys: &[Key]) -> Vec<(&'static str, String)> {
        let Self { scheme, signature, public_url, request } = self;
        let mut lines = Vec::new();
        let Ok(in_body) = inside_text(signature, request) else { return lines };
        let Ok(claims) = Claims::find(signature, &request.headers, in_body.as_deref()) else {
            return lines;
        };
        let Ok(stamp) = message::stamp_text(signature, &request.headers, &claims) else {
            return lines;
        };
        let Ok(id) = id(scheme, signature, &request.headers, claims.set) else { return lines };
        lines.extend(self.clock(stamp).map(|text| ("clock", text)));
        let Ok(message) = Message::new(signature, request, id, stamp, *public_url) else {
            return lines;
        };
        lines.insert(0, ("signed bytes", preview(&message.bytes(0))));
        for (number, key) in (1..).zip(keys) {
            if let Some(expected) = key.digest(&message, 0) {
                let text = format!("{} by secret {number}", self.prefix(expected.bytes()));
                lines.push(("expected", text));
            }
        }
        for claim in claims.iter() {
            let mut room = [0; SIGNATURE_BYTES_MAX];
            if let Some(bytes) = decode(signature, claim.text, &mut room) {
                lines.push(("sent", self.prefix(&room[..bytes])));
            }
        }
        lines
    }

    /// The beginning of a digest, in the scheme's encoding.
    fn prefix(&self, bytes: &[u8]) -> String {
        let text = match self.signature.encoding {
            Encoding::Hex => hex(bytes),
            Encoding::Base64 => base64(bytes),
        };
        let shown: String = text.chars().take(DIGEST_CHARACTERS_SHOWN).collect();
        format!("{shown}… ({})", count(bytes.len()))
    }

    fn clock(&self, sent: Option<&[u8]>) -> Option<String> {
        let described = self.signature.stamp.as_ref()?;
        let in_body = match &described.place {
            StampIn::Inside(spots) => spot::text(spots, self.request),
            _ => None,
        };
        let text = sent.or(in_body.as_ref().map(|text| text.as_bytes()))?;
        let millis = u64::try_from(stamp::millis(described.unit, text)?).ok()?;
        let (at, now) = (Timestamp::from_millis(millis), self.request.received_at);
        let skew = if at > now {
            format!("{} s in the future", at.since(now).as_secs())
        } else {
            format!("{} s old", now.since(at).as_secs())
        };
        let not = if described.covered { "" } else { "; it is not signed, so it proves nothing" };
        Some(format!("the timestamp {at} is {skew}{not}"))
    }
}

/// The beginning and the end of a text, safe for a terminal, and its length.
fn preview(bytes: &[u8]) -> String {
    let shown = |bytes: &[u8]| printable(&String::from_utf8_lossy(bytes));
    let length = bytes.len();
    if length <= PREVIEW_BYTES_MAX {
        return format!("{} ({})", shown(bytes), count(length));
    }
    let half = PREVIEW_BYTES_MAX / 2;
    format!("{} … {} ({})", shown(&bytes[..half]), shown(&bytes[length - half..]), count(length))
}

fn count(bytes: usize) -> String {
    counted(bytes as u64, "byte", "bytes")
}
