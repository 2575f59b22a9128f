//! What a text encodes as a whole: bytes that are listed as numbers, and an encoding in another.
//!
//! These forms cannot be searched for by their runs, because eight characters of them stand for two or three bytes of a
//! secret, or because each depth multiplies the forms. So they are decoded; what is decoded is masked as a whole.

use std::ops::Range;

use super::forms::{BASE32, SECRET_BYTES_MIN};
use super::view::View;
use crate::base64::{STANDARD, URL};

/// How often a text is decoded, one in another. The forms of a secret are encoded themselves.
const LEVELS_MAX: usize = 2;
/// Longest space between two numbers of a list, in bytes.
const SPACE_BYTES_MAX: usize = 32;
/// Digits of the longest number before a colon, as in `"12": 83`.
const KEY_DIGITS_MAX: usize = 5;
/// Not a digit.
const NONE: u8 = 0xff;

/// An encoding of bytes as text.
struct Encoding {
    /// The value of each digit.
    values: [u8; 256],
    digit_bits: usize,
    /// Digits that encode whole bytes. A text that was cut begins with any of them.
    group_digits: usize,
}

const ENCODINGS: [Encoding; 3] = [
    Encoding { values: values(&[STANDARD, URL]), digit_bits: 6, group_digits: 4 },
    Encoding {
        values: values(&[BASE32, b"abcdefghijklmnopqrstuvwxyz234567"]),
        digit_bits: 5,
        group_digits: 8,
    },
    Encoding {
        values: values(&[b"0123456789abcdef", b"0123456789ABCDEF"]),
        digit_bits: 4,
        group_digits: 2,
    },
];

/// Decoded bytes in lower case, and where they are encoded.
pub(super) struct Decoded {
    pub(super) bytes: Vec<u8>,
    pub(super) place: Range<usize>,
}

/// Everything that is decoded in a text.
pub(super) fn all(text: &[u8]) -> Vec<Decoded> {
    let mut found = Vec::new();
    collect(text, None, LEVELS_MAX, &mut found);
    found
}

/// `place`: where the text itself is encoded.
fn collect(text: &[u8], place: Option<&Range<usize>>, levels: usize, found: &mut Vec<Decoded>) {
    let Some(levels) = levels.checked_sub(1) else { return };
    let placed = |run: Range<usize>| place.cloned().unwrap_or(run);
    for (bytes, run) in lists(text) {
        decoded(&bytes, &placed(run), levels, found);
    }
    for encoding in &ENCODINGS {
        for run in encoding.runs(text) {
            let place = placed(run.clone());
            for skipped in 0..encoding.group_digits {
                decoded(&encoding.decode(&text[run.clone()], skipped), &place, levels, found);
            }
        }
    }
}

/// Adds what was decoded, as it reads, and what it encodes itself.
fn decoded(bytes: &[u8], place: &Range<usize>, levels: usize, found: &mut Vec<Decoded>) {
    collect(bytes, Some(place), levels, found);
    // ASCII in UTF-16 has zero bytes.
    let wide = bytes.contains(&0).then(|| utf16(bytes)).into_iter().flatten();
    let views = View::all(bytes).into_iter().map(|view| view.bytes);
    found.extend(wide.chain(views).map(|bytes| Decoded { bytes, place: place.clone() }));
}

/// As text of UTF-16 in either order.
fn utf16(bytes: &[u8]) -> [Vec<u8>; 2] {
    [u16::from_le_bytes, u16::from_be_bytes].map(|unit| {
        // It may begin within a unit; then the other order fits.
        let units = bytes.as_chunks().0.iter().map(|pair| unit(*pair));
        let text =
            char::decode_utf16(units).map(|read| read.unwrap_or(char::REPLACEMENT_CHARACTER));
        text.collect::<String>().to_ascii_lowercase().into_bytes()
    })
}

const fn values<const N: usize>(alphabets: &[&[u8; N]; 2]) -> [u8; 256] {
    let mut values = [NONE; 256];
    let mut value = 0_u8;
    while (value as usize) < N {
        values[alphabets[0][value as usize] as usize] = value;
        values[alphabets[1][value as usize] as usize] = value;
        value += 1;
    }
    values
}

const fn is_line_break(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

impl Encoding {
    const fn value(&self, byte: u8) -> Option<u8> {
        let value = self.values[byte as usize];
        if value == NONE { None } else { Some(value) }
    }

    /// Runs of digits, over line breaks, that encode [`SECRET_BYTES_MIN`] bytes or more.
    fn runs(&self, text: &[u8]) -> impl Iterator<Item = Range<usize>> {
        let digits_min = (SECRET_BYTES_MIN * 8).div_ceil(self.digit_bits);
        let is_digit = |byte: &u8| self.value(*byte).is_some();
        let mut at = 0;
        std::iter::from_fn(move || {
            loop {
                let start = at + text.get(at..)?.iter().position(is_digit)?;
                let run = text[start..].iter().take_while(|b| is_digit(b) || is_line_break(**b));
                at = start + run.count();
                if at - start >= digits_min {
                    return Some(start..at);
                }
            }
        })
    }

    /// The bytes of a run whose first digits belong to no whole group.
    fn decode(&self, run: &[u8], skipped: usize) -> Vec<u8> {
        let (mut bytes, mut bits, mut count) = (Vec::with_capacity(run.len()), 0_u32, 0);
        for value in run.iter().filter_map(|digit| self.value(*digit)).skip(skipped) {
            (bits, count) = (bits << self.digit_bits | u32::from(value), count + self.digit_bits);
            if count >= 8 {
                count -= 8;
                bytes.push((bits >> count).to_le_bytes()[0]);
            }
        }
        bytes
    }
}

/// Lists of numbers that are bytes: decimal, signed, or in hexadecimal.
fn lists(text: &[u8]) -> Vec<(Vec<u8>, Range<usize>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let is_start = at == 0 || !text[at - 1].is_ascii_alphanumeric();
        let read =
            |number, separators| Some(list(&text[at..], number, separators)).filter(|_| is_start);
        let both = [read(decimal, b",;|"), read(hexadecimal, b",;|:-")].into_iter().flatten();
        let long = both.filter(|(bytes, _)| bytes.len() >= SECRET_BYTES_MIN);
        // The same digits may be either.
        let end = at;
        at += 1;
        for (bytes, length) in long {
            found.push((bytes, end..end + length));
            at = at.max(end + length);
        }
    }
    found
}

/// How one number is written: its value, and where it ends.
type Number = fn(&[u8]) -> Option<(u8, usize)>;

/// The numbers at the beginning of a text, and where the last one ends.
fn list(text: &[u8], number: Number, separators: &[u8]) -> (Vec<u8>, usize) {
    let (mut bytes, mut at, mut end) = (Vec::new(), 0, 0);
    while let Some((byte, length)) = number(&text[at..]) {
        bytes.push(byte);
        end = at + length;
        at = end + between(&text[end..], separators);
        let has_key = key(&text[at..]);
        at += has_key;
        if at == end {
            break;
        }
    }
    (bytes, end)
}

/// The length of what separates two numbers.
fn between(text: &[u8], separators: &[u8]) -> usize {
    let is_separator = |byte: &&u8| byte.is_ascii_whitespace() || separators.contains(byte);
    text.iter().take(SPACE_BYTES_MAX).take_while(is_separator).count()
}

/// The length of `"12":` before a number, as JSON shows an array of bytes.
fn key(text: &[u8]) -> usize {
    let quoted = text.strip_prefix(b"\"").unwrap_or_default();
    let digits =
        quoted.iter().take(KEY_DIGITS_MAX).take_while(|byte| byte.is_ascii_digit()).count();
    let rest = quoted.get(digits..).and_then(|rest| rest.strip_prefix(b"\":"));
    let space = |rest: &[u8]| rest.iter().take_while(|byte| **byte == b' ').take(1).count();
    rest.filter(|_| digits > 0).map_or(0, |rest| digits + 3 + space(rest))
}

/// From -128 to 255.
fn decimal(text: &[u8]) -> Option<(u8, usize)> {
    let sign = usize::from(text.first() == Some(&b'-'));
    let digits = text[sign..].iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
    ends(text, sign + digits)?;
    let number: i16 = std::str::from_utf8(&text[..sign + digits]).ok()?.parse().ok()?;
    let byte = u8::try_from(number).ok();
    let signed = || i8::try_from(number).ok().map(i8::cast_unsigned);
    byte.or_else(signed).map(|byte| (byte, sign + digits))
}

/// `0x53` or `53`, of two digits.
fn hexadecimal(text: &[u8]) -> Option<(u8, usize)> {
    let sign = if matches!(text, [b'0', b'x' | b'X', ..]) { 2 } else { 0 };
    let digits = text.get(sign..sign + 2)?;
    ends(text, sign + 2)?;
    let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
    let number = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
    number.filter(|_| is_hex).map(|number| (number, sign + 2))
}

/// Nothing if the number goes on behind that.
fn ends(text: &[u8], at: usize) -> Option<()> {
    (!text.get(at).is_some_and(u8::is_ascii_alphanumeric)).then_some(())
}
