//! The tokens of handshakes, and the rule that no accepted request may consist of one.
//!
//! Some handshakes answer with a MAC of the token that the question contains, made with the secret that also signs
//! requests. Anyone can ask X's question, so anyone can get a valid signature of any token. The content of a token does
//! not make it harmless: how a body is read depends on headers that may be unsigned, so `a_b` can be a form, `--bb--` a
//! multipart body, and other tokens compressed bodies. Hence [`refuse_token`]: a scheme with such a handshake refuses
//! every request whose signed bytes, taken together, are a token, whether the handshake is answered or not. So does a
//! source that has a secret of such a source. The rule reads the raw bytes, before anything else does.

use super::message::Message;
use super::refusal::VerifyRefusal;
use super::scheme::{Handshake, Part, Scheme, Signature, Unit};

/// Longest token that is repeated or signed, in bytes.
pub const TOKEN_BYTES_MAX: usize = 128;
/// Length of a SHA-256 in hexadecimal digits.
const HASH_CHARACTERS: usize = 64;

/// Whether a handshake repeats or signs this text: `[A-Za-z0-9_-]{1,128}`.
pub(super) fn is_token(text: &[u8]) -> bool {
    (1..=TOKEN_BYTES_MAX).contains(&text.len()) && is_plain(text)
}

fn is_plain(text: &[u8]) -> bool {
    text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte))
}

/// Refuses a request that may be the answer to a handshake, sent back.
///
/// # Errors
/// What is signed is a token.
pub(super) fn refuse_token(message: &Message<'_>) -> Result<(), VerifyRefusal> {
    if (0..message.url_forms()).any(|url_form| is_message_token(message, url_form)) {
        return Err(VerifyRefusal::SignedOnRequest);
    }
    Ok(())
}

/// Like [`is_token`], for the signed bytes.
fn is_message_token(message: &Message<'_>, url_form: usize) -> bool {
    let (mut bytes, mut plain) = (0_usize, true);
    message.feed(url_form, |piece| {
        bytes = bytes.saturating_add(piece.len());
        plain = plain && bytes <= TOKEN_BYTES_MAX && is_plain(piece);
    });
    plain && bytes > 0
}

impl Handshake {
    /// Whether the answer contains a MAC of the token, made with the secret that signs requests.
    #[must_use]
    pub const fn signs_token(self) -> bool {
        matches!(self, Self::XCrc | Self::ZoomUrlValidation)
    }
}

impl Scheme {
    /// Whether a stranger can have a token of their choice signed.
    pub(super) fn signs_for_strangers(&self) -> bool {
        let covers = || self.signature().is_some_and(Signature::covers_content);
        match self.handshake {
            Some(Handshake::XCrc) => true,
            // The question is signed, but not its token.
            Some(Handshake::ZoomUrlValidation) => !covers(),
            _ => false,
        }
    }

    /// Whether it must refuse tokens, because its own handshake signs them.
    pub(super) fn signs_tokens(&self) -> bool {
        self.handshake.is_some_and(Handshake::signs_token)
    }
}

/// Whether a part of the signed bytes consists of characters of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plain {
    Never,
    Sometimes,
    /// It has at least this many bytes.
    Always(usize),
}

impl Signature {
    /// Whether the signed bytes of every request are a token. Such a scheme cannot have a handshake that signs
    /// tokens: it would refuse everything.
    #[must_use]
    pub fn signs_only_tokens(&self) -> bool {
        let least = self.signed.iter().map(|part| match self.plain(part) {
            Plain::Always(bytes) => Some(bytes),
            Plain::Never | Plain::Sometimes => None,
        });
        least.sum::<Option<usize>>().is_some_and(|bytes| bytes <= TOKEN_BYTES_MAX)
    }

    /// Whether the signed bytes of no request are a token.
    #[must_use]
    pub(super) fn signs_a_separator(&self) -> bool {
        self.signed.iter().any(|part| self.plain(part) == Plain::Never)
    }

    fn plain(&self, part: &Part) -> Plain {
        match part {
            Part::Literal(text) if is_plain(text.as_bytes()) => Plain::Always(text.len()),
            Part::Stamp => match self.stamp.as_ref().map(|stamp| stamp.unit) {
                Some(Unit::Seconds | Unit::Millis) => Plain::Always(1),
                Some(Unit::Rfc3339 | Unit::HttpDate) => Plain::Never,
                None => Plain::Always(0),
            },
            Part::BodySha256Hex => Plain::Always(HASH_CHARACTERS),
            Part::Method => Plain::Always(1),
            Part::Id
            | Part::StampIfSent(_)
            | Part::Body
            | Part::SortedForm
            | Part::Header(_)
            | Part::Text(_)
            | Part::Value { .. } => Plain::Sometimes,
            // An address has slashes, and a listed header a colon.
            Part::Literal(_)
            | Part::Url
            | Part::UrlAnyPort
            | Part::UrlDecoded
            | Part::Path
            | Part::ListedHeaders(_) => Plain::Never,
        }
    }
}
