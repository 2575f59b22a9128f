//! Public and private keys in the forms that vendors show them: PEM, base64 or hex of the whole or of
//! the raw bytes, JWK.
//!
//! Only the two kinds that are verified are read, each by its one fixed beginning: no parser of ASN.1.

use super::codec::{unbase64, unhex};
use super::scheme::Algorithm;

/// What stands before the raw bytes in an Ed25519 public key of RFC 8410.
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
        Algorithm::Ed25519 => (ED25519_HEAD, 32, "no Ed25519 public key"),
        Algorithm::EcdsaP256 => (P256_HEAD, POINT_BYTES, "no P-256 public key"),
        _ => return Err("no public key: this scheme has none"),
    };
    let text = text.trim();
    if text.contains("PRIVATE KEY") {
        return Err("a private key; the public one is needed here");
    }
    if text.contains("BEGIN CERTIFICATE") {
        return Err("a certificate; only its public key is needed here");
    }
    let bytes = bytes(text).ok_or(wrong)?;
    let raw = bytes.strip_prefix(head).unwrap_or(&bytes);
    let is_point = algorithm != Algorithm::EcdsaP256 || raw.first() == Some(&4);
    if raw.len() == length && is_point { Ok(raw.to_vec()) } else { Err(wrong) }
}

/// What stands in every RSA public key in its SPKI form: its algorithm.
const RSA: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
/// Within these first bytes.
const RSA_HEAD_BYTES: usize = 24;

/// Whether the bytes are a public key in its SPKI form, which says that it is one.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(RSA_HEAD_BYTES)];
    bytes.starts_with(ED25519_HEAD)
        || bytes.starts_with(P256_HEAD)
        || head.starts_with(&[0x30]) && head.windows(RSA.len()).any(|part| part == RSA)
}

/// A raw key in its SPKI form.
#[cfg(test)]
pub(super) fn whole(algorithm: Algorithm, raw: &[u8]) -> Vec<u8> {
    let head = if algorithm == Algorithm::Ed25519 { ED25519_HEAD } else { P256_HEAD };
    [head, raw].concat()
}

/// What a key's text encodes.
pub(super) fn bytes(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    if text.starts_with('{') {
        return jwk(text);
    }
    if text.starts_with("-----BEGIN") {
        // Some hand a PEM on in one line, with its line breaks written out.
        let text = text.replace("\\n", "\n");
        let inner = text.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
        return unbase64(&inner.collect::<String>());
    }
    unhex(text).or_else(|| unbase64(&text.split_whitespace().collect::<String>()))
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

/// The public key as its owner hands it out: Ed25519 in hex, P-256 in base64 of its SPKI.
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
    fn every_form_of_a_key_is_the_same_key() {
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
        let point: Vec<u8> = std::iter::once(4).chain(0..64).collect();
        let whole = [P256_HEAD, &point].concat();
        let (x, y) = (base64(&point[1..33]), base64(&point[33..]));
        let jwk = format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}"#);
        for text in [base64(&whole), hex(&point), jwk, write(Algorithm::EcdsaP256, &point)] {
            assert_eq!(key(Algorithm::EcdsaP256, &text).as_ref(), Ok(&point), "{text}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
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
        // The neutral form of a point that is compressed is not taken.
        assert!(key(Algorithm::EcdsaP256, &format!("02{}", "11".repeat(32))).is_err());
    }
}
