//! Is a request from whom it says? Decided over the raw bytes, before anything reads them.
//!
//! Pure. Every secret of the source is tried on every request, in constant time, so that neither
//! the answer's time nor its text tells which one failed or how far it matched. A [`Verified`] can
//! only be made here: what holds one has passed. A verifier without a usable secret cannot be built,
//! so that an unset secret never means "accept".

mod scheme;

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use sha2::Sha256;
use subtle::ConstantTimeEq;

pub use scheme::{Algorithm, Encoding, KeyForm, Parse, Part, SCHEMES, Scheme, scheme};

use crate::model::{Request, Secret};

/// Most secrets of one source: enough to rotate, and each costs a hash a request.
pub const SECRETS_MAX: usize = 8;
/// Bytes of an HMAC-SHA256.
const DIGEST_BYTES: usize = 32;

type Digest = [u8; DIGEST_BYTES];

/// A scheme with the secrets of one source, each hashed up to the point where the body begins.
#[derive(Clone)]
pub struct Verifier {
    scheme: &'static Scheme,
    keys: Vec<Hmac<Sha256>>,
}

/// Why a verifier cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecrets {
    #[error("no secret is given, so nothing could be verified")]
    None,
    #[error("secret {number} is empty; an empty secret would let everybody in")]
    Empty {
        /// Its place in the list, from 1.
        number: usize,
    },
    #[error("{given} secrets are given, at most {SECRETS_MAX} are tried")]
    TooMany { given: usize },
}

/// Why a request is refused: one line for the log. The sender is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("header {header} is missing")]
    Missing { header: &'static str },
    #[error("header {header} is empty")]
    Empty { header: &'static str },
    #[error("header {header} is sent {times} times; which one counts is unclear")]
    Doubled { header: &'static str, times: usize },
    #[error("header {header} has {found} characters, a signature has {expected}")]
    Length { header: &'static str, found: usize, expected: usize },
    #[error("header {header} is no {expected}")]
    Malformed { header: &'static str, expected: &'static str },
    #[error(
        "the signature does not match; the secret differs, or the body was changed on its way \
         (re-formatted JSON is another body)"
    )]
    Mismatch,
}

/// A request whose signature matched.
#[derive(Debug)]
pub struct Verified {
    request: Request,
    scheme: &'static Scheme,
    key: u16,
}

impl Verified {
    #[must_use]
    pub const fn request(&self) -> &Request {
        &self.request
    }

    #[must_use]
    pub fn into_request(self) -> Request {
        self.request
    }

    #[must_use]
    pub const fn scheme(&self) -> &'static Scheme {
        self.scheme
    }

    /// Which secret matched: its place in the configured list, from 0.
    #[must_use]
    pub const fn key(&self) -> u16 {
        self.key
    }
}

impl Verifier {
    /// # Errors
    /// No secret, an empty one, or more than [`SECRETS_MAX`].
    pub fn new(scheme: &'static Scheme, secrets: Vec<Secret>) -> Result<Self, InvalidSecrets> {
        if secrets.is_empty() {
            return Err(InvalidSecrets::None);
        }
        if secrets.len() > SECRETS_MAX {
            return Err(InvalidSecrets::TooMany { given: secrets.len() });
        }
        let keys = secrets
            .into_iter()
            .enumerate()
            .map(|(place, secret)| {
                keyed(scheme, &secret).ok_or(InvalidSecrets::Empty { number: place + 1 })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { scheme, keys })
    }

    #[must_use]
    pub const fn scheme(&self) -> &'static Scheme {
        self.scheme
    }

    /// What can be refused by the header alone, so that a body need not be read for it.
    ///
    /// # Errors
    /// As [`verify`](Self::verify), except [`Refused::Mismatch`].
    pub fn precheck(&self, headers: &HeaderMap) -> Result<(), Refused> {
        claim(self.scheme, headers).map(|_| ())
    }

    /// # Errors
    /// The reason why the request cannot be trusted.
    pub fn verify(&self, request: Request) -> Result<Verified, Refused> {
        let claimed = claim(self.scheme, &request.headers)?;
        let mut matched = None;
        // No early exit: the time must not tell which secret matched.
        for (key, keyed) in (0u16..).zip(&self.keys) {
            let expected = digest(self.scheme, keyed.clone(), &request.body);
            if same(&expected, &claimed) && matched.is_none() {
                matched = Some(key);
            }
        }
        match matched {
            Some(key) => Ok(Verified { request, scheme: self.scheme, key }),
            None => Err(Refused::Mismatch),
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("scheme", &self.scheme.name)
            .field("keys", &self.keys.len())
            .finish()
    }
}

/// The header that a sender of this scheme would add: its name and value. For an empty secret the
/// value is one that no verifier accepts.
#[must_use]
pub fn sign(scheme: &Scheme, secret: &Secret, body: &[u8]) -> (&'static str, String) {
    let value = keyed(scheme, secret)
        .map(|keyed| match scheme.encoding {
            Encoding::Hex => hex(&digest(scheme, keyed, body)),
        })
        .unwrap_or_default();
    (scheme.header, value)
}

/// The hash state after the key; `None` for an empty secret.
fn keyed(scheme: &Scheme, secret: &Secret) -> Option<Hmac<Sha256>> {
    let key = match scheme.key {
        KeyForm::Text => secret.expose().as_bytes(),
    };
    match scheme.algorithm {
        Algorithm::HmacSha256 if !key.is_empty() => Hmac::new_from_slice(key).ok(),
        Algorithm::HmacSha256 => None,
    }
}

fn digest(scheme: &Scheme, mut keyed: Hmac<Sha256>, body: &[u8]) -> Digest {
    for part in scheme.signed {
        match part {
            Part::Body => keyed.update(body),
        }
    }
    keyed.finalize().into_bytes().into()
}

/// The one place where a secret's digest is compared.
fn same(expected: &Digest, claimed: &Digest) -> bool {
    expected.ct_eq(claimed).into()
}

/// The digest that the request claims to have.
fn claim(scheme: &Scheme, headers: &HeaderMap) -> Result<Digest, Refused> {
    let header = scheme.header;
    let mut values = headers.get_all(header).iter();
    let value = values.next().ok_or(Refused::Missing { header })?;
    let others = values.count();
    if others > 0 {
        return Err(Refused::Doubled { header, times: others + 1 });
    }
    let text = match scheme.parse {
        Parse::Whole => value.as_bytes(),
    };
    if text.is_empty() {
        return Err(Refused::Empty { header });
    }
    match scheme.encoding {
        Encoding::Hex => unhex(header, text),
    }
}

fn unhex(header: &'static str, text: &[u8]) -> Result<Digest, Refused> {
    let malformed = Refused::Malformed { header, expected: "hexadecimal number" };
    if !text.is_ascii() {
        return Err(malformed);
    }
    if text.len() != 2 * DIGEST_BYTES {
        let (found, expected) = (text.len(), 2 * DIGEST_BYTES);
        return Err(Refused::Length { header, found, expected });
    }
    let mut digest = [0; DIGEST_BYTES];
    for (byte, pair) in digest.iter_mut().zip(text.chunks_exact(2)) {
        let (Some(high), Some(low)) = (nibble(pair[0]), nibble(pair[1])) else {
            return Err(malformed);
        };
        *byte = (high << 4) | low;
    }
    Ok(digest)
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|nibble| char::from(DIGITS[usize::from(nibble)]))
        .collect()
}

#[cfg(test)]
mod tests;
