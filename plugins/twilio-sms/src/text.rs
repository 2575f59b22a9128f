//! The text of an SMS: reduced to what phones show, counted in segments, and cut to fit.
//!
//! Invariants of [`compose`]: the text has at most `segments_max` segments, shows at least one
//! character, has no control character but line feed, and is cut between characters as people see
//! them. The count of further events at its end is never cut off.
//!
//! Limit: toll-free numbers of the US and Canada have 152 and 66 places a segment instead of 153 and
//! 67, and a trial account has 38 characters put before its messages: there a message may take one
//! segment more than is counted here.

use crate::alphabet::{Encoding, belongs, is_blank, is_dropped, look_alike, septets};

/// Ten segments are 1,530 characters at most; Twilio takes no more than 1,600.
pub(crate) const SEGMENTS_MAX: u8 = 10;
/// More than fits into ten segments; the rest is ignored.
const CHARS_MAX: usize = 1600;
/// A letter with more marks than this may be split.
const GROUP_UNITS_MAX: usize = 16;

/// The text of a message for `count` events. `otherwise` replaces a message without visible text; it must
/// have some.
pub(crate) fn compose(message: &str, count: u64, otherwise: &str, segments_max: u8) -> String {
    let segments_max = usize::from(segments_max.clamp(1, SEGMENTS_MAX));
    let more = format!(" (+{} more)", count.saturating_sub(1));
    let (message, more) = match message.trim_end().strip_suffix(&more) {
        Some(start) if count > 1 => (start, more.as_str()),
        _ => (message, ""),
    };
    let mut text = clean(message);
    if text.is_empty() {
        text = clean(otherwise);
    }
    fit(&text, more, segments_max)
}

/// How many segments a text needs.
pub(crate) fn segments(text: &str) -> usize {
    let encoding = Encoding::of(text);
    let (mut total, mut parts, mut used) = (0, 1, 0);
    for group in groups(text) {
        let places = places(group, encoding);
        total += places;
        // A segment starts neither within an escape nor within a character.
        if used + places > encoding.part() {
            parts += 1;
            used = 0;
        }
        used += places;
    }
    if total <= encoding.single() { 1 } else { parts }
}

fn places(group: &str, encoding: Encoding) -> usize {
    match encoding {
        Encoding::Gsm7 => group.chars().filter_map(septets).sum(),
        Encoding::Ucs2 => group.chars().map(char::len_utf16).sum(),
    }
}

/// Without characters that phones do not show, and with single spaces and line feeds as the only white
/// space. Empty if nothing would be visible.
fn clean(text: &str) -> String {
    let mut cleaned = String::new();
    let mut chars = 0;
    let mut space = None;
    for c in text.chars().filter(|c| !is_dropped(*c)) {
        if matches!(c, '\n' | '\u{2028}' | '\u{2029}') {
            space = Some('\n');
        } else if c.is_whitespace() || c.is_control() {
            space = space.or(Some(' '));
        } else if !(cleaned.is_empty() && is_blank(c)) {
            let space = space.take().filter(|_| !cleaned.is_empty());
            cleaned.extend(space.into_iter().chain([c]));
            chars += 1 + usize::from(space.is_some());
            if chars >= CHARS_MAX {
                break;
            }
        }
    }
    cleaned
}

/// The text and its end, in the encoding that has room for more of it.
fn fit(text: &str, more: &str, segments_max: usize) -> String {
    let plain: String = text
        .chars()
        .flat_map(|c| {
            let alike = look_alike(c);
            alike.into_iter().flat_map(str::chars).chain(Some(c).filter(|_| alike.is_none()))
        })
        .collect();
    let plain_fits = Encoding::of(&plain) == Encoding::Gsm7;
    let whole = [if plain_fits { &plain } else { text }, more].concat();
    if segments(&whole) <= segments_max {
        return whole;
    }
    let known = |group: &&str| Encoding::of(group) == Encoding::Gsm7;
    let short = cut(groups(&plain).take_while(known), &format!("...{more}"), segments_max);
    if plain_fits {
        return short;
    }
    let wide = cut(groups(text), &format!("…{more}"), segments_max);
    // An emoji late in the text would cost more than half of it.
    if short.chars().count() > wide.chars().count() { short } else { wide }
}

/// As many groups as fit together with the end.
fn cut<'a>(groups: impl Iterator<Item = &'a str>, end: &str, segments_max: usize) -> String {
    let mut text = String::new();
    let mut ends = Vec::new();
    for group in groups {
        text.push_str(group);
        ends.push(text.len());
    }
    let kept = ends.partition_point(|&at| segments(&[&text[..at], end].concat()) <= segments_max);
    text.truncate(kept.checked_sub(1).map_or(0, |last| ends[last]));
    text.truncate(text.trim_end().len());
    text + end
}

/// Roughly the characters that people see: an emoji with its modifiers, a letter with its marks.
fn groups(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut chars = rest.char_indices();
        let (_, mut before) = chars.next()?;
        let mut units = before.len_utf16();
        let mut end = rest.len();
        for (index, (at, c)) in chars.enumerate() {
            units += c.len_utf16();
            if units > GROUP_UNITS_MAX || !belongs(before, c, index + 1) {
                end = at;
                break;
            }
            before = c;
        }
        let (group, others) = rest.split_at(end);
        rest = others;
        Some(group)
    })
}

#[cfg(test)]
mod tests;
