//! Hides secrets in text from elsewhere: whole, cut, and encoded.
//!
//! A destination may answer with a part of a secret, or with the header that it got. So what is searched for is not
//! the secret: it is every run of [`PART_BYTES`] bytes of each of its forms. However the text was cut before, less
//! than that remains.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use self::forms::{SECRET_BYTES_MIN, forms};
use crate::Secret;

mod forms;

/// A run of so many bytes of a secret, or of an encoding of it, is never shown.
pub const PART_BYTES: usize = 8;
const MASK: &str = "***";

/// Hides the secrets that it was made with. `Debug` shows none of them.
#[derive(Clone, Default)]
pub struct Masker {
    /// Every run of that length in a form; sorted.
    parts: Box<[[u8; PART_BYTES]]>,
    /// The forms that are shorter; found only whole.
    short: Box<[Box<[u8]>]>,
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Masker(***)")
    }
}

impl Masker {
    #[must_use]
    pub fn new(secrets: &[Secret]) -> Self {
        let (mut parts, mut short) = (Vec::new(), Vec::new());
        for form in secrets.iter().flat_map(|secret| forms(secret.expose())) {
            let runs = form.windows(PART_BYTES).filter_map(|run| run.try_into().ok());
            parts.extend::<Vec<[u8; PART_BYTES]>>(runs.collect());
            if (SECRET_BYTES_MIN..PART_BYTES).contains(&form.len()) {
                short.push(form.into());
            }
        }
        parts.sort_unstable();
        parts.dedup();
        Self { parts: parts.into(), short: short.into() }
    }

    /// The text with `***` in place of each secret. To be called before the text is cut or escaped.
    #[must_use]
    pub fn hide<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let hidden = self.find(text.as_bytes());
        if hidden.is_empty() {
            return Cow::Borrowed(text);
        }
        let (mut shown, mut from) = (String::with_capacity(text.len()), 0);
        for Range { start, end } in hidden {
            // A run may begin or end within a character.
            let begins = |at: &usize| text.is_char_boundary(*at);
            let start = (from..=start).rev().find(begins).unwrap_or(from);
            shown.push_str(&text[from..start]);
            shown.push_str(MASK);
            from = (end..text.len()).find(begins).unwrap_or(text.len());
        }
        shown.push_str(&text[from..]);
        Cow::Owned(shown)
    }

    /// Whether the bytes have a secret, or a part of one.
    #[must_use]
    pub fn finds(&self, bytes: &[u8]) -> bool {
        !self.find(bytes).is_empty()
    }

    /// Where the secrets are, in order; runs that overlap are one.
    fn find(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        let mut found = self.find_in_line(bytes);
        let Some((joined, places)) = join_lines(bytes) else { return found };
        let wrapped = self.find_in_line(&joined).into_iter();
        found.extend(wrapped.map(|run| places[run.start]..places[run.end - 1] + 1));
        found.sort_unstable_by_key(|run| run.start);
        found.dedup_by(|next, last| {
            let overlaps = next.start < last.end;
            if overlaps {
                last.end = last.end.max(next.end);
            }
            overlaps
        });
        found
    }

    fn find_in_line(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        if self.parts.is_empty() && self.short.is_empty() {
            return found;
        }
        for at in 0..bytes.len() {
            let Some(length) = self.length_at(&bytes[at..]) else { continue };
            match found.last_mut() {
                Some(last) if at < last.end => last.end = last.end.max(at + length),
                _ => found.push(at..at + length),
            }
        }
        found
    }

    fn length_at(&self, bytes: &[u8]) -> Option<usize> {
        let part = bytes
            .first_chunk()
            .filter(|part: &&[u8; PART_BYTES]| self.parts.binary_search(part).is_ok());
        let short = || self.short.iter().find(|form| bytes.starts_with(form));
        part.map(|_| PART_BYTES).or_else(|| short().map(|form| form.len()))
    }
}

/// The bytes without line breaks, and where each of them was; `None` if the text has no line break. A secret may be
/// wrapped, as base64 and mail are.
fn join_lines(bytes: &[u8]) -> Option<(Vec<u8>, Vec<usize>)> {
    if !bytes.iter().any(|byte| matches!(byte, b'\n' | b'\r' | b'\\')) {
        return None;
    }
    let (mut joined, mut places) =
        (Vec::with_capacity(bytes.len()), Vec::with_capacity(bytes.len()));
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let length = break_length(&bytes[at..]);
        if length == 0 {
            joined.push(*byte);
            places.push(at);
        }
        at += length.max(1);
    }
    (joined.len() < bytes.len()).then_some((joined, places))
}

/// The length of a line break, plain, escaped or of quoted-printable, with the indentation after it; 0 if there is none.
fn break_length(bytes: &[u8]) -> usize {
    const BREAKS: [&[u8]; 6] = [b"=\r\n", b"=\n", b"\r", b"\n", b"\\r", b"\\n"];
    let found = BREAKS.into_iter().find(|text| bytes.starts_with(text));
    found.map_or(0, |text| {
        let indented = bytes[text.len()..].iter().take_while(|byte| matches!(byte, b' ' | b'\t'));
        text.len() + indented.count()
    })
}

#[cfg(test)]
mod tests;
