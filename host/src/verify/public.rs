//! Reads keys in the forms in which vendors show them: PEM, base64 or hex of the whole structure or of
//! the raw bytes, or JWK.
//!
//! Reads only the two kinds that are needed. Each has one fixed beginning, so no ASN.1 parser is needed.

use super::codec::{unbase64, unhex};
use super::point;
use super::scheme::Algorithm;

/// The bytes before the raw key in an Ed25519 public key of RFC 8410.
const ED25519_HEAD: &[u8] = &[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
/// The same before an uncompressed point of P-256.
const P256_HEAD: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 3, 1, 7, 3, 0x42, 0,
];
const POINT_BYTES: usize = 65;

/// The raw bytes of a public key.
pub(super) fn key(algorithm: Algorithm, text: &str) -> Result<Vec<u8>, &'static str> {
    let (head, length, wrong) = match algorithm {
        Algorithm::Ed25519 => (ED25519_HEAD, 32, "not an Ed25519 public key"),
        Algorithm::EcdsaP256 => (P256_HEAD, POINT_BYTES, "not a P-256 public key"),
        _ => return Err("a public key, which this scheme does not use"),
    };
    let text = text.trim();
    if text.contains("PRIVATE KEY") {
        return Err("a private key; this needs the public key");
    }
    if text.contains("BEGIN CERTIFICATE") {
        return Err("a certificate; this needs only its public key");
    }
    let bytes = bytes(text).ok_or(wrong)?;
    let raw = bytes.strip_prefix(head).unwrap_or(&bytes);
    let is_point = algorithm != Algorithm::EcdsaP256 || point::is_on_p256(raw);
    if raw.len() == length && is_point { Ok(raw.to_vec()) } else { Err(wrong) }
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 2;
const BIT_STRING: u8 = 3;
const OCTET_STRING: u8 = 4;
const OBJECT_IDENTIFIER: u8 = 6;
/// What a key or certificate consists of at its first level; 0xa0 to 0xa3 are its optional parts.
const TAGS: [u8; 11] = [
    INTEGER,
    BIT_STRING,
    OCTET_STRING,
    5,
    OBJECT_IDENTIFIER,
    SEQUENCE,
    0x31,
    0xa0,
    0xa1,
    0xa2,
    0xa3,
];

/// The content of a DER sequence that is the whole of the bytes.
fn sequence(bytes: &[u8]) -> Option<&[u8]> {
    value(SEQUENCE, bytes).filter(|(_, rest)| rest.is_empty()).map(|(content, _)| content)
}

/// The content of the DER value with which the bytes begin, if it has this tag, and what is behind it.
pub(super) fn value(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, length, content) = match bytes {
        [found, 0x82, high, low, content @ ..] => {
            (found, usize::from(*high) << 8 | usize::from(*low), content)
        }
        [found, 0x81, length, content @ ..] => (found, usize::from(*length), content),
        [found, length @ ..=0x7f, content @ ..] => (found, usize::from(*length), content),
        _ => return None,
    };
    if *found == tag { content.split_at_checked(length) } else { None }
}

/// How the names of the kinds of keys begin in OpenSSH's form.
const SSH_KINDS: [&[u8]; 3] = [b"ssh-", b"ecdsa-sha2-", b"sk-"];

/// Whether the bytes are a public key in OpenSSH's form: the length of its kind, and the kind.
pub(super) fn is_ssh(bytes: &[u8]) -> bool {
    let [0, 0, 0, length, rest @ ..] = bytes else { return false };
    let kind = rest.get(..usize::from(*length)).unwrap_or_default();
    SSH_KINDS.iter().any(|begin| kind.starts_with(begin))
}

/// Whether the bytes are a private key of PKCS #8, PKCS #1 or SEC 1: a version, and what follows it there.
pub(super) fn is_private_der(bytes: &[u8]) -> bool {
    let content = sequence(bytes).unwrap_or_default();
    // Encrypted: an algorithm and the rest as a string of bytes.
    let is_encrypted = value(SEQUENCE, content).is_some_and(|(algorithm, rest)| {
        algorithm.first() == Some(&OBJECT_IDENTIFIER)
            && value(OCTET_STRING, rest).is_some_and(|(_, rest)| rest.is_empty())
    });
    is_encrypted
        || bytes.starts_with(SSH_PRIVATE)
        || matches!(content, [2, 1, 0 | 1, 0x30, ..] | [2, 1, 0, 2, ..] | [2, 1, 1, 4, ..])
}

/// How a private key of OpenSSH begins.
const SSH_PRIVATE: &[u8] = b"openssh-key-v1\0";

/// Whether the bytes are a DER sequence of two values or more, as every key, certificate and request for one is. No
/// shared secret is that by chance: tags and lengths would have to fit to the last byte.
pub(super) fn is_der(bytes: &[u8]) -> bool {
    let mut rest = sequence(bytes).unwrap_or_default();
    let mut values = 0;
    while let Some((_, behind)) = rest.first().and_then(|tag| value(*tag, rest)) {
        if !TAGS.contains(&rest[0]) {
            return false;
        }
        (rest, values) = (behind, values + 1);
    }
    rest.is_empty() && values >= 2
}

/// A raw key in its SPKI form.
#[cfg(test)]
pub(super) fn whole(algorithm: Algorithm, raw: &[u8]) -> Vec<u8> {
    let head = if algorithm == Algorithm::Ed25519 { ED25519_HEAD } else { P256_HEAD };
    [head, raw].concat()
}

/// The bytes that the text of a key encodes.
pub(super) fn bytes(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    if text.starts_with('{') {
        return jwk(text);
    }
    if text.starts_with("-----BEGIN") {
        // A PEM may come in one line, with `\n` for its line breaks.
        let text = text.replace("\\n", "\n");
        let inner = text.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
        return unbase64(&inner.collect::<String>());
    }
    let bare: String = text.split_whitespace().collect();
    unhex(&bare.replace(':', "")).or_else(|| unbase64(&bare))
}

#[derive(serde::Deserialize)]
struct Jwk {
    crv: String,
    x: String,
    y: Option<String>,
}

fn jwk(text: &str) -> Option<Vec<u8>> {
    let jwk: Jwk = serde_json::from_str(text).ok()?;
    let x = unbase64(&jwk.x)?;
    match (jwk.crv.as_str(), jwk.y) {
        ("Ed25519", None) => Some(x),
        ("P-256", Some(y)) => Some([vec![4], x, unbase64(&y)?].concat()),
        _ => None,
    }
}

/// The public key as vendors publish it: Ed25519 in hex, P-256 in base64 of its SPKI.
pub(super) fn write(algorithm: Algorithm, raw: &[u8]) -> String {
    match algorithm {
        Algorithm::EcdsaP256 => super::codec::base64(&[P256_HEAD, raw].concat()),
        _ => super::codec::hex(raw),
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::{base64, hex};
    use super::*;

    #[test]
    fn every_form_of_a_key_reads_as_the_same_key() {
        let raw: Vec<u8> = (0..32).collect();
        let whole = [ED25519_HEAD, &raw].concat();
        let pem =
            format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", base64(&whole));
        let jwk =
            format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, base64(&raw).replace('=', ""));
        let one_line = pem.replace('\n', "\\n");
        for text in [hex(&raw), base64(&raw), hex(&whole), base64(&whole), pem, jwk, one_line] {
            assert_eq!(key(Algorithm::Ed25519, &text).as_ref(), Ok(&raw), "{text}");
            assert!(key(Algorithm::EcdsaP256, &text).is_err());
        }
        let point = point::example();
        let whole = [P256_HEAD, &point].concat();
        let (x, y) = (base64(&point[1..33]), base64(&point[33..]));
        let jwk = format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}"#);
        for text in [base64(&whole), hex(&point), jwk, write(Algorithm::EcdsaP256, &point)] {
            assert_eq!(key(Algorithm::EcdsaP256, &text).as_ref(), Ok(&point), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "00",
            "hunter2",
            "{}",
            "-----BEGIN",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        ] {
            assert!(key(Algorithm::Ed25519, text).is_err(), "{text}");
            assert!(key(Algorithm::EcdsaP256, text).is_err(), "{text}");
        }
        // Of another curve.
        let point: Vec<u8> = std::iter::once(4).chain(0..64).collect();
        assert!(key(Algorithm::EcdsaP256, &hex(&point)).is_err());
        // A compressed point is not accepted.
        assert!(key(Algorithm::EcdsaP256, &format!("02{}", "11".repeat(32))).is_err());
    }
}
