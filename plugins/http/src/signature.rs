//! Signs what is sent as Standard Webhooks describes, so that the receiver can check it with any of their libraries.

use dispatcher_plugin_api::prelude::*;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The field with the signature.
pub(crate) const NAME: &str = "webhook-signature";
/// What a secret begins with; the rest is base64.
const PREFIX: &str = "whsec_";
/// Bytes that a decoded secret may have.
const BYTES_MIN: usize = 24;
const BYTES_MAX: usize = 64;

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A key that signs. `Debug` shows nothing of it.
pub(crate) struct Key(Vec<u8>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(***)")
    }
}

/// Why a secret cannot sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvalidKey;

impl std::fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "not a secret of Standard Webhooks: write {PREFIX} and the base64 of {BYTES_MIN} to {BYTES_MAX} random bytes, \
             such as `echo {PREFIX}$(openssl rand -base64 32)` prints"
        )
    }
}

impl Key {
    pub(crate) fn new(secret: &Secret) -> Result<Self, InvalidKey> {
        let text = secret.expose().strip_prefix(PREFIX).ok_or(InvalidKey)?;
        let bytes = decoded(text).ok_or(InvalidKey)?;
        let fits = (BYTES_MIN..=BYTES_MAX).contains(&bytes.len());
        if fits { Ok(Self(bytes)) } else { Err(InvalidKey) }
    }

    /// The value of the field for this request.
    pub(crate) fn sign(&self, id: &str, seconds: u64, body: &[u8]) -> Option<String> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(format!("{id}.{seconds}.").as_bytes());
        mac.update(body);
        Some(format!("v1,{}", base64(&mac.finalize().into_bytes())))
    }
}

fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            // A chunk of n bytes fills n + 1 digits.
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(char::from(if place <= chunk.len() { digit } else { b'=' }));
        }
    }
    text
}

/// Padding may be missing.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if text.len() - digits.len() > 2 || digits.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 3);
    let (mut bits, mut count) = (0u32, 0);
    for digit in digits.bytes() {
        let value = DIGITS.iter().position(|known| *known == digit)?;
        bits = bits << 6 | u32::try_from(value).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vector_of_the_standards_own_libraries_is_signed_as_they_do() {
        let key = Key::new(&"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()).unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signed = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signed.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn what_is_not_a_secret_of_the_standard_is_refused() {
        let padded = format!("whsec_{}", base64(&[7; 32]));
        for good in [&*padded, padded.trim_end_matches('=')] {
            assert!(Key::new(&good.into()).is_ok(), "{good}");
        }
        let [short, long] = [23, 65].map(|len| format!("whsec_{}", base64(&vec![7; len])));
        let wrong = padded.replace('B', "!");
        for bad in
            ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "whsec_a", &short, &long, &wrong]
        {
            assert_eq!(Key::new(&bad.into()).unwrap_err(), InvalidKey, "{bad}");
        }
    }

    #[test]
    fn base64_is_read_back() {
        for len in 0..70u8 {
            let bytes: Vec<u8> = (0..len).map(|i| i.wrapping_mul(37)).collect();
            assert_eq!(decoded(&base64(&bytes)).unwrap(), bytes);
        }
    }
}
