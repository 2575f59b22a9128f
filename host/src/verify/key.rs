//! Prepares the secrets of a source once, when the configuration is read, so a request costs only its own
//! bytes. The only place where secret values are compared.

use hmac::{Hmac, KeyInit, Mac};
use ring::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey, VerificationAlgorithm};
use sha2::{Digest as _, Sha256, Sha512};
use subtle::ConstantTimeEq;

use super::claim::{Claims, SIGNATURE_BYTES_MAX, decode};
use super::codec::{unbase64, unhex};
use super::message::Message;
use super::scheme::{Algorithm, KeyForm, Mark, Signature};
use super::{key_kind, public};
use crate::model::Secret;

/// Longest digest, in bytes.
const DIGEST_BYTES_MAX: usize = 64;

/// A secret in the form that its algorithm needs, and the index of the mark whose signatures it makes.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) mark: usize,
    form: Form,
}

#[derive(Clone)]
enum Form {
    /// HMAC states that have absorbed the key.
    Sha1(Box<ring::hmac::Key>),
    Sha256(Box<Hmac<Sha256>>),
    Sha512(Box<Hmac<Sha512>>),
    /// The key begins with the request's timestamp, so it cannot be prepared.
    Late(Algorithm, Secret),
    Public(&'static dyn VerificationAlgorithm, Vec<u8>),
    /// The hash of a token, so the comparison takes the same time for every length.
    Plain([u8; 32]),
}

/// The digest that a request should have.
pub(super) struct Expected {
    bytes: [u8; DIGEST_BYTES_MAX],
    length: usize,
}

impl Expected {
    fn new(digest: &[u8]) -> Self {
        let mut bytes = [0; DIGEST_BYTES_MAX];
        let length = digest.len().min(DIGEST_BYTES_MAX);
        bytes[..length].copy_from_slice(&digest[..length]);
        Self { bytes, length }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Compares secret values. Its time does not depend on how far they agree.
pub(super) fn same(expected: &[u8], claimed: &[u8]) -> bool {
    expected.ct_eq(claimed).into()
}

impl Key {
    /// The key for a token or password.
    pub(super) fn plain(secret: &Secret) -> Self {
        Self { mark: 0, form: Form::Plain(Sha256::digest(secret.expose()).into()) }
    }

    /// The key for the signatures of one of `marks`: the one whose prefix the secret has, or else the
    /// first. The error does not contain the secret.
    pub(super) fn of(marks: &[Mark], secret: &Secret) -> Result<Self, &'static str> {
        let text = secret.expose();
        let prefix = |mark: &Mark| match &mark.key {
            KeyForm::Base64 { prefix } | KeyForm::Public { prefix } => prefix.clone(),
            _ => "".into(),
        };
        let behind = |mark: &Mark| match &*prefix(mark) {
            "" => None,
            prefix => text.trim_start().strip_prefix(prefix),
        };
        let place = marks.iter().position(|mark| behind(mark).is_some()).unwrap_or(0);
        let mark = marks.get(place).ok_or("not a key for any known signature")?;
        if let Some(mistake) = key_kind::mistaken(marks, mark, behind(mark).is_some(), text) {
            return Err(mistake);
        }
        let bare = behind(mark).unwrap_or(text);
        let bytes = match &mark.key {
            KeyForm::Text => bare.as_bytes().to_vec(),
            KeyForm::StampThenText => {
                return Ok(Self { mark: place, form: Form::Late(mark.algorithm, secret.clone()) });
            }
            KeyForm::Base64 { .. } => unbase64(bare.trim()).ok_or("not valid base64")?,
            KeyForm::Hex => unhex(bare.trim()).ok_or("not a hexadecimal number")?,
            KeyForm::Public { .. } => public::key(mark.algorithm, bare)?,
        };
        if bytes.is_empty() {
            return Err("empty; an empty secret would accept every request");
        }
        let form = match mark.algorithm {
            Algorithm::Ed25519 => Form::Public(&ED25519, bytes),
            Algorithm::EcdsaP256 => Form::Public(&ECDSA_P256_SHA256_ASN1, bytes),
            algorithm => keyed(algorithm, &bytes)?,
        };
        Ok(Self { mark: place, form })
    }

    /// Whether the text is the token.
    pub(super) fn is(&self, text: &[u8]) -> bool {
        let hash: [u8; 32] = Sha256::digest(text).into();
        matches!(&self.form, Form::Plain(token) if same(token, &hash))
    }

    /// The MAC of the text; `None` unless this is a key for HMAC-SHA256.
    pub(super) fn hmac_sha256(&self, text: &[u8]) -> Option<[u8; 32]> {
        let Form::Sha256(key) = &self.form else { return None };
        let mut mac = (**key).clone();
        mac.update(text);
        Some(mac.finalize().into_bytes().into())
    }

    /// Whether one of the claimed signatures is valid.
    pub(super) fn matches(
        &self,
        signature: &Signature,
        claims: &Claims<'_>,
        message: &Message<'_>,
        url_form: usize,
    ) -> bool {
        let claims = claims.iter().filter(|claim| claim.mark == self.mark);
        let mut room = [0; SIGNATURE_BYTES_MAX];
        let mut matched = false;
        if let Form::Public(algorithm, key) = &self.form {
            let message = message.bytes(url_form);
            let key = UnparsedPublicKey::new(*algorithm, key);
            for claim in claims {
                if let Some(bytes) = decode(signature, claim.text, &mut room) {
                    matched |= key.verify(&message, &room[..bytes]).is_ok();
                }
            }
        } else if let Some(expected) = self.digest(message, url_form) {
            for claim in claims {
                if let Some(bytes) = decode(signature, claim.text, &mut room) {
                    matched |= same(expected.bytes(), &room[..bytes]);
                }
            }
        }
        matched
    }

    /// The digest of the message; `None` if this key does not make one.
    pub(super) fn digest(&self, message: &Message<'_>, url_form: usize) -> Option<Expected> {
        let late;
        let form = match &self.form {
            Form::Late(algorithm, secret) => {
                let stamp = message.stamp().unwrap_or_default();
                late = keyed(*algorithm, &[stamp, secret.expose().as_bytes()].concat()).ok()?;
                &late
            }
            form => form,
        };
        Some(match form {
            Form::Sha1(key) => {
                let mut hash = ring::hmac::Context::with_key(key);
                message.feed(url_form, |piece| hash.update(piece));
                Expected::new(hash.sign().as_ref())
            }
            Form::Sha256(key) => {
                let mut hash = Hmac::clone(key);
                message.feed(url_form, |piece| hash.update(piece));
                Expected::new(&hash.finalize().into_bytes())
            }
            Form::Sha512(key) => {
                let mut hash = Hmac::clone(key);
                message.feed(url_form, |piece| hash.update(piece));
                Expected::new(&hash.finalize().into_bytes())
            }
            Form::Late(..) | Form::Public(..) | Form::Plain(_) => return None,
        })
    }
}

fn keyed(algorithm: Algorithm, key: &[u8]) -> Result<Form, &'static str> {
    const NONE: &str = "not a key for this algorithm";
    Ok(match algorithm {
        Algorithm::HmacSha1 => Form::Sha1(Box::new(ring::hmac::Key::new(
            ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            key,
        ))),
        Algorithm::HmacSha256 => {
            Form::Sha256(Box::new(Hmac::new_from_slice(key).map_err(|_| NONE)?))
        }
        Algorithm::HmacSha512 => {
            Form::Sha512(Box::new(Hmac::new_from_slice(key).map_err(|_| NONE)?))
        }
        Algorithm::Ed25519 | Algorithm::EcdsaP256 => return Err(NONE),
    })
}
