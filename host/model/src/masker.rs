//! Hides secrets in text from elsewhere: whole, cut, encoded, escaped, and in other case.
//!
//! A destination may answer with a part of a secret, or with the header that it got. So what is searched for is not
//! the secret: it is every run of [`PART_BYTES`] bytes of each of its forms. However the text was cut before, less
//! than that remains.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use self::forms::{SECRET_BYTES_MIN, forms};
use self::view::View;
use crate::Secret;

mod decoded;
mod forms;
mod view;

/// A run of so many bytes of a secret, or of an encoding of it, is never shown.
pub const PART_BYTES: usize = 8;
const MASK: &str = "***";

/// Hides the secrets that it was made with. `Debug` shows none of them.
#[derive(Clone, Default)]
pub struct Masker {
    /// Every run of that length in a form, in lower case; sorted.
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
        for mut form in secrets.iter().flat_map(|secret| forms(secret.expose())) {
            form.make_ascii_lowercase();
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

    /// The text with `***` in place of each secret. To be called before the text is cut.
    #[must_use]
    pub fn hide<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let hidden = self.find(text.as_bytes());
        if hidden.is_empty() {
            return Cow::Borrowed(text);
        }
        let (mut shown, mut from) = (String::with_capacity(text.len()), 0);
        for Range { start, end } in hidden {
            // A run may begin with the space before a word of a secret.
            let is_space = |at: &usize| text.as_bytes()[*at].is_ascii_whitespace();
            let start = (start..end).find(|at| !is_space(at)).unwrap_or(start);
            let end = (start..end).rev().find(|at| !is_space(at)).map_or(end, |last| last + 1);
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
        if bytes.len() < SECRET_BYTES_MIN || (self.parts.is_empty() && self.short.is_empty()) {
            return Vec::new();
        }
        let views = View::all(bytes);
        let in_view =
            |view: &View| self.find_in(&view.bytes).map(|run| view.place(run)).collect::<Vec<_>>();
        let decoded = decoded::all(bytes).into_iter();
        let decoded = decoded.filter(|decoded| self.find_in(&decoded.bytes).next().is_some());
        let mut found: Vec<_> = views.iter().flat_map(in_view).collect();
        found.extend(decoded.map(|decoded| decoded.place));
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

    fn find_in(&self, bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
        (0..bytes.len()).filter_map(|at| Some(at..at + self.length_at(&bytes[at..])?))
    }

    fn length_at(&self, bytes: &[u8]) -> Option<usize> {
        let part = bytes
            .first_chunk()
            .filter(|part: &&[u8; PART_BYTES]| self.parts.binary_search(part).is_ok());
        let short = || self.short.iter().find(|form| bytes.starts_with(form));
        part.map(|_| PART_BYTES).or_else(|| short().map(|form| form.len()))
    }
}

#[cfg(test)]
mod tests;
