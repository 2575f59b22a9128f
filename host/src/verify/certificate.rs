//! Reads the RSA key of a certificate that was fetched from where its owner publishes it, and when it is valid.
//!
//! Not a check of a chain: the connection by which it came proves whose it is. Reads only the fixed order of RFC 5280 down
//! to the key; everything else is skipped.

use std::ops::RangeInclusive;

use super::public::{self, value};
use super::scheme::Unit;
use super::stamp;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 2;
const BIT_STRING: u8 = 3;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;
/// The algorithm identifier `rsaEncryption`.
const RSA: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    pub(super) modulus: Vec<u8>,
    pub(super) exponent: Vec<u8>,
    /// In milliseconds since 1970.
    pub(super) valid: RangeInclusive<i64>,
}

/// The first certificate of a PEM text.
pub(super) fn of_pem(text: &[u8]) -> Option<Certificate> {
    let text = std::str::from_utf8(text).ok()?;
    let begin = text.find("-----BEGIN CERTIFICATE-----")?;
    let end = text[begin..].find("-----END")?;
    of_der(&public::bytes(&text[begin..begin + end])?)
}

fn of_der(der: &[u8]) -> Option<Certificate> {
    let (certificate, _) = value(SEQUENCE, der)?;
    let (signed, _) = value(SEQUENCE, certificate)?;
    let (_, rest) = value(VERSION, signed)?;
    let (_serial, rest) = value(INTEGER, rest)?;
    let (_algorithm, rest) = value(SEQUENCE, rest)?;
    let (_issuer, rest) = value(SEQUENCE, rest)?;
    let (validity, rest) = value(SEQUENCE, rest)?;
    let (_subject, rest) = value(SEQUENCE, rest)?;
    let (key, _) = value(SEQUENCE, rest)?;
    let (not_before, not_after) = time(validity)?;
    let (not_after, _) = time(not_after)?;
    let (algorithm, rest) = value(SEQUENCE, key)?;
    let (bits, _) = value(BIT_STRING, rest)?;
    let numbers = bits.strip_prefix(&[0]).filter(|_| algorithm == RSA)?;
    let (numbers, _) = value(SEQUENCE, numbers)?;
    let (modulus, rest) = value(INTEGER, numbers)?;
    let (exponent, _) = value(INTEGER, rest)?;
    Some(Certificate {
        modulus: modulus.to_vec(),
        exponent: exponent.to_vec(),
        valid: not_before..=not_after,
    })
}

/// The time with which the bytes begin, in milliseconds since 1970, and what is behind it.
fn time(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (text, rest, century) = match value(GENERALIZED_TIME, bytes) {
        Some((text, rest)) => (text, rest, ""),
        None => {
            let (text, rest) = value(UTC_TIME, bytes)?;
            (text, rest, if text.first()? < &b'5' { "20" } else { "19" })
        }
    };
    let text = format!("{century}{}", std::str::from_utf8(text).ok()?);
    if text.len() != 15 || !text.is_ascii() {
        return None;
    }
    let part = |from: usize| &text[from..from + 2];
    let whole = format!(
        "{}-{}-{}T{}:{}:{}{}",
        &text[..4],
        part(4),
        part(6),
        part(8),
        part(10),
        part(12),
        &text[14..]
    );
    Some((stamp::millis(Unit::Rfc3339, whole.as_bytes())?, rest))
}
