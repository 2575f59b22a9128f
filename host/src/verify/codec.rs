//! Hexadecimal and base64 as senders write signatures and keys.
//!
//! Strict: each value has exactly one encoding, apart from the case of hexadecimal letters, so a changed
//! text is another signature. Linear in the text.

use crate::model::base64;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Decodes into `room` and returns the number of bytes; `None` if the text is not hexadecimal or too long.
pub(super) fn unhex_into(text: &[u8], room: &mut [u8]) -> Option<usize> {
    if !text.len().is_multiple_of(2) || text.len() / 2 > room.len() {
        return None;
    }
    // Anything but a digit sets high bits, which are checked once at the end.
    let mut all = 0;
    for (byte, pair) in room.iter_mut().zip(text.chunks_exact(2)) {
        let (high, low) = (NIBBLES[usize::from(pair[0])], NIBBLES[usize::from(pair[1])]);
        all |= high | low;
        *byte = (high << 4) | (low & 15);
    }
    (all <= 15).then_some(text.len() / 2)
}

/// The value of each hexadecimal digit; 255 for every other byte.
static NIBBLES: [u8; 256] = {
    let mut values = [255; 256];
    let mut value = 0u8;
    while value < 16 {
        let digit = DIGITS[value as usize];
        values[digit as usize] = value;
        values[digit.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    values
};

/// Like [`unhex_into`], for base64 with the standard alphabet and padding.
pub(super) fn unbase64_into(text: &[u8], room: &mut [u8]) -> Option<usize> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let padding = text.iter().rev().take(2).take_while(|byte| **byte == b'=').count();
    let plain = &text[..text.len() - padding];
    let bytes = text.len() / 4 * 3 - padding;
    if bytes > room.len() {
        return None;
    }
    let mut room = room.iter_mut();
    for group in plain.chunks(4) {
        let mut value = 0u32;
        for letter in group {
            value = (value << 6) | u32::from(sextet(*letter)?);
        }
        value <<= 6 * (4 - group.len());
        let [_, decoded @ ..] = value.to_be_bytes();
        let (whole, rest) = decoded.split_at(group.len() - 1);
        // Bits beyond the last byte must be zero, or two texts would decode to the same bytes.
        if rest.iter().any(|byte| *byte != 0) {
            return None;
        }
        // `whole` comes first: `zip` must see its end before it takes a byte of `room`.
        for (decoded, byte) in whole.iter().zip(room.by_ref()) {
            *byte = *decoded;
        }
    }
    Some(bytes)
}

const fn sextet(letter: u8) -> Option<u8> {
    match letter {
        b'A'..=b'Z' => Some(letter - b'A'),
        b'a'..=b'z' => Some(letter - b'a' + 26),
        b'0'..=b'9' => Some(letter - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let mut bytes = vec![0; text.len() / 2];
    unhex_into(text.as_bytes(), &mut bytes)?;
    Some(bytes)
}

/// For keys, which people copy from web pages: also accepts the URL alphabet and missing padding.
pub(super) fn unbase64(text: &str) -> Option<Vec<u8>> {
    let plain = text.trim_end_matches('=').bytes();
    let mut standard: Vec<u8> = plain
        .map(|letter| match letter {
            b'-' => b'+',
            b'_' => b'/',
            letter => letter,
        })
        .collect();
    while !standard.len().is_multiple_of(4) {
        standard.push(b'=');
    }
    let mut bytes = vec![0; standard.len() / 4 * 3];
    let length = unbase64_into(&standard, &mut bytes)?;
    bytes.truncate(length);
    Some(bytes)
}

/// The URL alphabet without padding, as in tokens; nothing else is accepted.
pub(super) fn unbase64_url(text: &[u8]) -> Option<Vec<u8>> {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.iter().all(is_letter).then(|| std::str::from_utf8(text).ok().and_then(unbase64))?
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|nibble| char::from(DIGITS[usize::from(nibble)]))
        .collect()
}

pub(super) fn base64(bytes: &[u8]) -> String {
    base64::encode(bytes, base64::STANDARD)
}

/// Decodes `%XX` and leaves everything else. With `plus`, a plus sign is a space, as in forms.
pub(super) fn unescape(text: &[u8], plus: bool) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let mut one = [0];
        match (byte, text.get(at + 1..at + 3)) {
            (b'%', Some(digits)) if unhex_into(digits, &mut one).is_some() => {
                bytes.push(one[0]);
                at += 3;
                continue;
            }
            (b'+', _) if plus => bytes.push(b' '),
            (byte, _) => bytes.push(*byte),
        }
        at += 1;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn base64_passes_the_vectors_of_rfc_4648_and_has_one_encoding_only() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), text);
            let mut room = [0; 8];
            let length = unbase64_into(text.as_bytes(), &mut room).unwrap();
            assert_eq!(&room[..length], plain.as_bytes());
            assert_eq!(unbase64(text.trim_end_matches('=')).unwrap(), plain.as_bytes());
        }
        for wrong in ["Zg", "Zg=", "Zh==", "Z===", "====", "Zm9=", "Zm 9", "Zg==Zg==", "Zm8=\n"] {
            assert_eq!(unbase64_into(wrong.as_bytes(), &mut [0; 8]), None, "{wrong}");
        }
        assert_eq!(unbase64_into(b"Zm9v", &mut [0; 2]), None);
        assert_eq!(unbase64("-_-_").unwrap(), unbase64("+/+/").unwrap());
        assert_eq!(unbase64_url(b"-_8").unwrap(), [0xfb, 0xff]);
        for wrong in ["-_8=", "+/8", "-_9", "-", " -_8", "-_8\n", "é"] {
            assert_eq!(unbase64_url(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn escapes_are_decoded_and_other_text_stays() {
        for (text, plus, plain) in [
            ("a%20b+c", true, "a b c"),
            ("a%20b+c", false, "a b+c"),
            ("%", true, "%"),
            ("%4", true, "%4"),
            ("%zz%41", true, "%zzA"),
        ] {
            assert_eq!(unescape(text.as_bytes(), plus), plain.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn encoded_bytes_decode_to_the_same_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(unhex(&hex(&bytes)), Some(bytes.clone()));
            prop_assert_eq!(unbase64(&base64(&bytes)), Some(bytes));
        }
    }
}
