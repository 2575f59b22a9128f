//! The forms in which a secret may come back: plain, escaped, in hexadecimal, base32 and base64.

use std::fmt::Write as _;

use crate::base64::{self, Alphabet};

/// A shorter secret is not hidden: it could be part of harmless words.
pub(super) const SECRET_BYTES_MIN: usize = 6;

/// What secrets of vendors begin with, as documentation and help show it. On its own it is not a secret.
const PREFIXES: [&str; 4] = ["whsec_", "whpk_", "pdl_ntfset_", "Bearer"];

pub(super) const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BASE32_DIGIT_BITS: usize = 5;
const BASE32_GROUP_BYTES: usize = 5;

/// A shorter word of a secret, such as `Bearer`, may be harmless.
const WORD_BYTES_MIN: usize = 8;

/// Every form of a secret, and of what is secret in it.
pub(super) fn forms(secret: &str) -> Vec<Vec<u8>> {
    if PREFIXES.iter().any(|prefix| secret.trim().eq_ignore_ascii_case(prefix)) {
        return Vec::new();
    }
    let credentials: Vec<String> = secret.split_whitespace().filter_map(credentials).collect();
    let passwords = credentials
        .iter()
        .flat_map(|text| [&**text, text.split_once(':').map_or("", |pair| pair.1)]);
    let parts = secret_parts(secret).into_iter().chain(passwords);
    let parts = parts.filter(|part| part.len() >= SECRET_BYTES_MIN);
    let mut forms: Vec<Vec<u8>> = parts.flat_map(forms_of_part).collect();
    forms.sort_unstable();
    forms.dedup();
    forms
}

/// Of an address only what follows its host, and its user and password: messages name the host. Otherwise all
/// of it, and each word: `Bearer TOKEN` is known by its token.
fn secret_parts(secret: &str) -> Vec<&str> {
    let address = ["https://", "http://"].iter().find_map(|scheme| {
        secret.get(..scheme.len()).filter(|start| start.eq_ignore_ascii_case(scheme))?;
        secret.get(scheme.len()..)
    });
    let Some(rest) = address else {
        let words = secret.split_whitespace().filter(|word| word.len() >= WORD_BYTES_MIN);
        return std::iter::once(secret).chain(words).collect();
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let mut parts = vec![path, path.trim_start_matches('/')];
    if let Some((user, _)) = authority.rsplit_once('@') {
        parts.push(user);
        parts.extend(user.split_once(':').map(|(_, password)| password));
    }
    parts
}

/// `user:password`, if the word is that in base64, as in `Basic dTpw`.
fn credentials(word: &str) -> Option<String> {
    let text = String::from_utf8(base64::decode(word)?).ok()?;
    (text.contains(':') && !text.contains(char::is_control)).then_some(text)
}

fn forms_of_part(text: &str) -> Vec<Vec<u8>> {
    let bytes = text.as_bytes();
    let hex = |upper| bytes.iter().fold(String::new(), |hex, byte| hex + &hex_of(*byte, upper));
    let twice = hex(false).bytes().map(|digit| hex_of(digit, false)).collect();
    // 16-bit words on a little-endian machine, of which the secret may begin with either byte.
    let swapped = |from: usize| {
        let pairs = bytes.get(from..).unwrap_or_default().chunks_exact(2);
        pairs.fold(String::new(), |all, pair| {
            all + &hex_of(pair[1], false) + &hex_of(pair[0], false)
        })
    };
    let mut forms = vec![text.to_owned(), hex(false), hex(true), twice, html(text)];
    forms.extend([swapped(0), swapped(1)]);
    forms.extend((0..BASE32_GROUP_BYTES).map(|before| base32_after(bytes, before)));
    // Escapers that spare no character, and separated digits.
    let each = |escape: &str, upper| {
        bytes.iter().fold(String::new(), |all, byte| all + escape + &hex_of(*byte, upper))
    };
    for upper in [false, true] {
        for escape in ["%", "\\u00", "\\x"] {
            forms.push(each(escape, upper));
        }
        for separator in [":", " ", "-"] {
            forms.push(each(separator, upper).split_off(1));
        }
        let percent = percent(bytes, upper);
        forms.push(percent.replace("%20", "+"));
        forms.push(percent);
    }
    for ascii in [false, true] {
        let json = json(text, ascii);
        forms.push(json.replace('/', "\\/"));
        forms.push(json);
    }
    // In `user:password` the password begins at any of three places of a group.
    for before in 0..3 {
        for alphabet in [base64::STANDARD, base64::URL] {
            let base64 = base64_after(bytes, before, alphabet);
            forms.push(percent(base64.as_bytes(), true));
            forms.push(base64.replace('/', "\\/"));
            // A header that is base64 itself, quoted in something that is encoded again.
            for before in 0..3 {
                forms.push(base64_after(base64.as_bytes(), before, alphabet));
            }
            forms.push(base64);
        }
    }
    forms.into_iter().map(String::into_bytes).collect()
}

fn hex_of(byte: u8, upper: bool) -> String {
    if upper { format!("{byte:02X}") } else { format!("{byte:02x}") }
}

fn percent(bytes: &[u8], upper: bool) -> String {
    let mut text = String::new();
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            text.push(char::from(*byte));
        } else {
            text.push('%');
            text.push_str(&hex_of(*byte, upper));
        }
    }
    text
}

/// `ascii`: every other character is escaped too.
fn json(text: &str, ascii: bool) -> String {
    let mut json = String::new();
    for character in text.chars() {
        match character {
            '"' | '\\' => json.extend(['\\', character]),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            _ if character.is_ascii_control() || (ascii && !character.is_ascii()) => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    // Writing to a String cannot fail.
                    let _ = write!(json, "\\u{unit:04x}");
                }
            }
            _ => json.push(character),
        }
    }
    json
}

fn html(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#39;")
}

/// Without padding. `before`: as in [`base64_after`].
fn base32_after(bytes: &[u8], before: usize) -> String {
    let bytes = std::iter::repeat_n(0, before).chain(bytes.iter().copied());
    let bits: Vec<u8> =
        bytes.flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let digit = |bits: &[u8]| {
        let number = bits.iter().fold(0, |number, bit| number << 1 | usize::from(*bit));
        char::from(BASE32[number << (BASE32_DIGIT_BITS - bits.len())])
    };
    let digits = bits.chunks(BASE32_DIGIT_BITS).map(digit);
    digits.skip((before * 8).div_ceil(BASE32_DIGIT_BITS)).collect()
}

/// Padded. `before`: how many unknown bytes precede it; the digits that they decide are left out.
fn base64_after(bytes: &[u8], before: usize, alphabet: &Alphabet) -> String {
    let bytes: Vec<u8> = std::iter::repeat_n(0, before).chain(bytes.iter().copied()).collect();
    let mut text = base64::encode(&bytes, alphabet);
    text.split_off(if before == 0 { 0 } else { before + 1 })
}
