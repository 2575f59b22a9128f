//! Public keys that a sender publishes, as they were found at their address.
//!
//! Pure: who fetches them hands a [`KeySet`] in. A key that cannot be used is left out, so that a new kind of key among
//! the others does no harm; a set without a usable key is an error. Limits: [`PUBLISHED_KEYS_MAX`], [`KEY_ID_BYTES_MAX`].

use std::ops::RangeInclusive;
use std::sync::Arc;

use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde_json::Value;

use super::codec::unbase64_url;
use super::wanted_token::KEY_ID_BYTES_MAX;
use super::{certificate, point};
use crate::model::Timestamp;

/// Most keys that are kept of one address. Vendors publish two to ten.
pub const PUBLISHED_KEYS_MAX: usize = 64;
/// The bits of an RSA key: the fewest and the most.
const RSA_BITS: (usize, usize) = (2_048, 8_192);

/// A key that a request needs, and the address where it must be published. The request never chooses the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyWanted {
    pub place: Arc<str>,
    pub id: String,
    pub kind: KeyKind,
}

/// What is published at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// A JSON Web Key Set.
    Set,
    /// One certificate, in PEM.
    Certificate,
}

/// The name of the key of a certificate.
pub(super) const CERTIFICATE: &str = "";

/// The keys at one address.
#[derive(Clone, Debug)]
pub struct KeySet {
    place: Arc<str>,
    keys: Vec<PublishedKey>,
}

#[derive(Clone, Debug)]
pub(super) struct PublishedKey {
    id: String,
    /// The only algorithm that it is for; `None`: any that fits.
    algorithm: Option<String>,
    /// The only issuer whose tokens it signs; `None`: any that publishes it. Microsoft says so of some keys.
    issuer: Option<String>,
    form: Form,
    /// When its certificate is valid, in milliseconds since 1970; `None`: it has none.
    valid: Option<RangeInclusive<i64>>,
}

/// The hash of an RSA signature with PKCS #1 padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RsaHash {
    /// Only for Amazon SNS, version 1.
    Sha1,
    Sha256,
}

#[derive(Clone, Debug)]
enum Form {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// An uncompressed point.
    P256(Vec<u8>),
}

/// How a token is signed (RFC 7518).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenAlgorithm {
    Rs256,
    Ps256,
    Es256,
}

impl TokenAlgorithm {
    pub(super) const ALL: [Self; 3] = [Self::Rs256, Self::Ps256, Self::Es256];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
        }
    }
}

/// Why what is at an address is not a set of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoKeys {
    #[error("it is not a JSON object with a list `keys` (RFC 7517)")]
    NotASet,
    #[error("it has more than {PUBLISHED_KEYS_MAX} keys")]
    TooMany,
    #[error(
        "none of its keys can be used: needed are `kid` and an RSA key of 2048 to 8192 bits or a P-256 key, for signatures"
    )]
    NoneUsable,
    #[error("it is not a certificate in PEM with an RSA key of 2048 to 8192 bits")]
    NoCertificate,
}

impl KeySet {
    /// Reads what is published at an address.
    ///
    /// # Errors
    /// It is something else, or has no key that can be used.
    pub fn read(wanted: &KeyWanted, text: &[u8]) -> Result<Self, NoKeys> {
        let place = Arc::clone(&wanted.place);
        if wanted.kind == KeyKind::Set {
            return Self::of_json(place, text);
        }
        let certificate = certificate::of_pem(text).ok_or(NoKeys::NoCertificate)?;
        let form = Form::rsa(&certificate.modulus, &certificate.exponent);
        let form = form.ok_or(NoKeys::NoCertificate)?;
        let (id, valid) = (CERTIFICATE.to_owned(), Some(certificate.valid));
        let key = PublishedKey { id, algorithm: None, issuer: None, form, valid };
        Ok(Self { place, keys: vec![key] })
    }

    /// Reads a JSON Web Key Set (RFC 7517).
    ///
    /// # Errors
    /// It is not one, or none of its keys can be used.
    pub fn of_json(place: Arc<str>, text: &[u8]) -> Result<Self, NoKeys> {
        let set: Value = serde_json::from_slice(text).map_err(|_| NoKeys::NotASet)?;
        let listed = set.get("keys").and_then(Value::as_array).ok_or(NoKeys::NotASet)?;
        if listed.len() > PUBLISHED_KEYS_MAX {
            return Err(NoKeys::TooMany);
        }
        let keys: Vec<_> = listed.iter().filter_map(PublishedKey::of_json).collect();
        if keys.is_empty() { Err(NoKeys::NoneUsable) } else { Ok(Self { place, keys }) }
    }

    /// Where they are published.
    #[must_use]
    pub const fn place(&self) -> &Arc<str> {
        &self.place
    }

    /// Whether there is a key of that name.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.named(id).next().is_some()
    }

    /// The keys of that name: an RSA key and one of a curve may have the same.
    pub(super) fn named(&self, id: &str) -> impl Iterator<Item = &PublishedKey> {
        self.keys.iter().filter(move |key| key.id == id)
    }
}

impl Form {
    /// `None` if the key is too short, or too long for ring.
    fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        // ring wants numbers without zeros in front.
        let number = |bytes: &[u8]| {
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            bytes[zeros..].to_vec()
        };
        let (modulus, exponent) = (number(modulus), number(exponent));
        let bits = modulus.len() * 8 - modulus.first()?.leading_zeros() as usize;
        let is_usable = (RSA_BITS.0..=RSA_BITS.1).contains(&bits) && !exponent.is_empty();
        is_usable.then_some(Self::Rsa { modulus, exponent })
    }

    fn verifies_rsa(&self, how: &'static RsaParameters, message: &[u8], signature: &[u8]) -> bool {
        let Self::Rsa { modulus, exponent } = self else { return false };
        let key = RsaPublicKeyComponents { n: modulus, e: exponent };
        key.verify(how, message, signature).is_ok()
    }
}

impl PublishedKey {
    fn of_json(key: &Value) -> Option<Self> {
        let text = |name: &str| key.get(name).and_then(Value::as_str);
        let bytes = |name: &str| unbase64_url(text(name)?.as_bytes());
        let is_for = |name: &str, word: &str| match key.get(name) {
            None => true,
            Some(Value::Array(words)) => words.iter().any(|one| one == word),
            Some(one) => one == word,
        };
        if !is_for("use", "sig") || !is_for("key_ops", "verify") {
            return None;
        }
        // A limit that cannot be read is not the same as none.
        let limit = |name: &str| match key.get(name) {
            None => Some(None),
            Some(value) => value.as_str().map(|text| Some(text.to_owned())),
        };
        let (algorithm, issuer) = (limit("alg")?, limit("issuer")?);
        // `https://login.microsoftonline.com/{tenantid}/v2.0` is any of its issuers.
        let issuer = issuer.filter(|issuer| !issuer.contains('{'));
        let id = text("kid").filter(|id| (1..=KEY_ID_BYTES_MAX).contains(&id.len()))?.to_owned();
        let form = match text("kty")? {
            "RSA" => Form::rsa(&bytes("n")?, &bytes("e")?)?,
            "EC" if text("crv") == Some("P-256") => {
                let point = [vec![4], bytes("x")?, bytes("y")?].concat();
                point::is_on_p256(&point).then_some(Form::P256(point))?
            }
            _ => return None,
        };
        Some(Self { id, algorithm, issuer, form, valid: None })
    }

    /// Whether it is a key for that algorithm.
    pub(super) fn fits(&self, algorithm: TokenAlgorithm) -> bool {
        let is_kind = match algorithm {
            TokenAlgorithm::Rs256 | TokenAlgorithm::Ps256 => matches!(self.form, Form::Rsa { .. }),
            TokenAlgorithm::Es256 => matches!(self.form, Form::P256(_)),
        };
        is_kind && self.algorithm.as_deref().is_none_or(|only| only == algorithm.name())
    }

    /// Whether it signs tokens of that issuer.
    pub(super) fn is_of(&self, issuer: &str) -> bool {
        self.issuer.as_deref().is_none_or(|only| only == issuer)
    }

    /// Whether it has no certificate, or one that is valid at that time.
    pub(super) fn is_valid_at(&self, time: Timestamp) -> bool {
        let time = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        self.valid.as_ref().is_none_or(|valid| valid.contains(&time))
    }

    pub(super) fn verifies_rsa(&self, hash: RsaHash, message: &[u8], signature: &[u8]) -> bool {
        let how = match hash {
            RsaHash::Sha1 => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            RsaHash::Sha256 => &RSA_PKCS1_2048_8192_SHA256,
        };
        self.form.verifies_rsa(how, message, signature)
    }

    pub(super) fn verifies(
        &self,
        algorithm: TokenAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        let rsa = |how: &'static RsaParameters| self.form.verifies_rsa(how, message, signature);
        match algorithm {
            TokenAlgorithm::Rs256 => rsa(&RSA_PKCS1_2048_8192_SHA256),
            TokenAlgorithm::Ps256 => rsa(&RSA_PSS_2048_8192_SHA256),
            TokenAlgorithm::Es256 => {
                let Form::P256(point) = &self.form else { return false };
                let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
                key.verify(message, signature).is_ok()
            }
        }
    }
}
