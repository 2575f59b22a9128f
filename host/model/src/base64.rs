//! Writes base64 for signatures and for finding secrets in it, and reads it for secrets that are written in it.

/// The 64 letters.
pub type Alphabet = [u8; 64];

/// The usual ones.
pub const STANDARD: &Alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Those that need no escape in an address.
pub const URL: &Alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// With padding.
#[must_use]
pub fn encode(bytes: &[u8], alphabet: &Alphabet) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut three = [0; 3];
        three[..group.len()].copy_from_slice(group);
        let value = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for place in 0..4 {
            let sextet = (value >> (18 - 6 * place)) & 63;
            let used = place <= group.len();
            text.push(if used { char::from(alphabet[sextet as usize]) } else { '=' });
        }
    }
    text
}

/// The bytes of a text in either alphabet, padded or not; `None` if it has another character.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        let place = |alphabet: &Alphabet| alphabet.iter().position(|other| *other == digit);
        let sextet = u32::try_from(place(STANDARD).or_else(|| place(URL))?).ok()?;
        (bits, count) = (bits << 6 | sextet, count + 6);
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
    fn what_was_encoded_is_decoded() {
        for length in 0..8 {
            let bytes: Vec<u8> =
                (0..length).map(|byte: u8| 250_u8.wrapping_sub(byte * 30)).collect();
            for alphabet in [STANDARD, URL] {
                let text = encode(&bytes, alphabet);
                assert_eq!(decode(&text).as_ref(), Some(&bytes), "{text}");
                assert_eq!(decode(text.trim_end_matches('=')).as_ref(), Some(&bytes), "{text}");
            }
        }
        assert_eq!(decode("a b"), None);
    }
}
