//! Makes senders' texts safe to show: one line, bounded, of a known form.

use std::borrow::Cow;

use crate::model::Timestamp;

/// Longest title, in characters.
pub(super) const TITLE_CHARS_MAX: usize = 300;
/// Longest type and subject, in characters.
pub(super) const NAME_CHARS_MAX: usize = 200;
/// Longest link, in bytes.
const LINK_BYTES_MAX: usize = 2048;
/// Longest time that is read, in bytes. RFC 3339 does not limit the fraction of a second.
const TIME_BYTES_MAX: usize = 40;

/// The text on one line without control characters; every run of white space becomes one space. A longer
/// text is cut after `chars_max` characters, with an ellipsis. Nothing if nothing is left.
pub(super) fn one_line(text: &str, chars_max: usize) -> Option<Cow<'_, str>> {
    let trimmed = text.trim_matches(is_space);
    if trimmed.is_empty() {
        return None;
    }
    // Fast path: most texts are printable ASCII, which needs no look-up of character classes.
    let plain = |c: char| matches!(c, ' '..='~') || !is_space(c);
    if trimmed.len() <= chars_max && trimmed.chars().all(plain) && !trimmed.contains("  ") {
        return Some(Cow::Borrowed(trimmed));
    }
    let mut line = String::with_capacity(trimmed.len().min(4 * chars_max));
    let mut chars = 0;
    let mut space = false;
    for c in trimmed.chars() {
        if is_space(c) {
            space = true;
            continue;
        }
        chars += 1 + usize::from(space);
        if chars > chars_max {
            line.push('…');
            break;
        }
        if std::mem::take(&mut space) {
            line.push(' ');
        }
        line.push(c);
    }
    Some(Cow::Owned(line))
}

/// White space, including line and paragraph separators, and control characters.
fn is_space(c: char) -> bool {
    !matches!(c, '!'..='~') && (c.is_whitespace() || c.is_control())
}

/// Whether the text is a time in RFC 3339.
pub(super) fn is_rfc3339(text: &str) -> bool {
    // The form is checked here because the parser below accepts more than RFC 3339 allows.
    let bytes = text.as_bytes();
    let shape = b"dddd-dd-ddTdd:dd:dd";
    if bytes.len() > TIME_BYTES_MAX || bytes.len() <= shape.len() {
        return false;
    }
    let (date_time, rest) = bytes.split_at(shape.len());
    let fits = date_time.iter().zip(shape).all(|(byte, wanted)| match wanted {
        b'd' => byte.is_ascii_digit(),
        b'T' => matches!(byte, b'T' | b't'),
        other => byte == other,
    });
    let offset = match rest.split_first() {
        Some((b'.', fraction)) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return false;
            }
            &fraction[digits..]
        }
        _ => rest,
    };
    let offset_fits = match offset {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', a, b, b':', c, d] => [a, b, c, d].into_iter().all(u8::is_ascii_digit),
        _ => false,
    };
    fits && offset_fits && text.parse::<jiff::Timestamp>().is_ok()
}

/// The point in time that a text names, as RFC 3339: as it was written, or made from a number of
/// seconds, milliseconds or microseconds since 1970.
pub(super) fn time(text: &str) -> Option<String> {
    if is_rfc3339(text) {
        return Some(text.to_owned());
    }
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    let number: u64 = whole.parse().ok()?;
    // Today is 10 digits of seconds, and stays so for some 240 years.
    let millis = match whole.len() {
        9..=11 => number * 1_000,
        12..=14 => number,
        15..=17 => number / 1_000,
        _ => return None,
    };
    Some(Timestamp::from_millis(millis).to_string())
}

/// Whether the text is an address that a person can follow.
pub(super) fn is_link(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|rest| rest.starts_with(|c: char| c.is_alphanumeric() || c == '['))
        && text.len() <= LINK_BYTES_MAX
        && !text.contains(is_space)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_line_is_one_line() {
        for (text, expected) in [
            ("plain text", Some("plain text")),
            ("  around\n", Some("around")),
            ("line1\nline2\r\nFAKE\u{0}\u{1b}[31mred", Some("line1 line2 FAKE [31mred")),
            ("a\u{2028}b\u{2029}c\u{85}d", Some("a b c d")),
            ("a   b", Some("a b")),
            ("é東🔥", Some("é東🔥")),
            ("12345678901", Some("1234567890…")),
            ("123456789 1", Some("123456789…")),
            ("éééééééééé", Some("éééééééééé")),
            ("", None),
            (" \u{0}\n", None),
        ] {
            let chars_max = if text.chars().count() < 12 { 10 } else { 300 };
            assert_eq!(one_line(text, chars_max).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_time_is_rfc_3339_or_none() {
        for text in [
            "2021-02-08T12:45:00.363713+00:00",
            "2021-02-08T12:45:00Z",
            "2021-02-08t12:45:00.1z",
            "2016-12-31T23:59:60Z",
            "2021-02-08T12:45:00-08:30",
        ] {
            assert!(is_rfc3339(text), "{text}");
        }
        for text in [
            "",
            "2021-02-08",
            "2021-02-08T12:45:00",
            "2021-02-08 12:45:00Z",
            "2021-02-08T12:45Z",
            "2021-02-08T12:45:00.Z",
            "2021-02-30T12:45:00Z",
            "2021-13-08T12:45:00Z",
            "2021-02-08T25:45:00Z",
            "2021-02-08T12:45:00+00",
            "2021-02-08T12:45:00+00:00[UTC]",
            "2021-02-08T12:45:00Z\n",
            "yesterday at ten o'clock",
            "2021-02-08T12:45:00.0000000000000000000000000000000000000000000000Z",
            "éé21-02-08T12:45:00Z",
        ] {
            assert!(!is_rfc3339(text), "{text}");
        }
    }

    #[test]
    fn a_number_is_a_time_by_its_length() {
        for (text, expected) in [
            ("2021-02-08T12:45:00+01:00", Some("2021-02-08T12:45:00+01:00")),
            ("1612788300", Some("2021-02-08T12:45:00.000Z")),
            ("1612788300.363", Some("2021-02-08T12:45:00.000Z")),
            ("1612788300363", Some("2021-02-08T12:45:00.363Z")),
            ("1612788300363819", Some("2021-02-08T12:45:00.363Z")),
            ("20210208", None),
            ("-1612788300", None),
            ("99999999999999999999", None),
            ("", None),
        ] {
            assert_eq!(time(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_link_is_http_and_has_a_host() {
        for (text, expected) in [
            ("https://my.example.org/a?b#c", true),
            ("http://[2001:db8::1]:80/", true),
            ("http://test", true),
            ("https://", false),
            ("https:///path", false),
            ("javascript:alert(1)", false),
            ("ftp://example.org", false),
            ("https://example.org/a b", false),
            ("https://example.org/\nX: y", false),
            ("example.org", false),
        ] {
            assert_eq!(is_link(text), expected, "{text}");
        }
        assert!(!is_link(&format!("https://example.org/{}", "a".repeat(LINK_BYTES_MAX))));
    }

    proptest! {
        #[test]
        fn a_line_is_bounded_clean_and_not_made_twice(text in "\\PC{0,30}|.{0,30}|[ \n\t\u{0}a]{0,30}", max in 1usize..20) {
            if let Some(line) = one_line(&text, max) {
                prop_assert!(line.chars().count() <= max + 1, "{:?}", line);
                prop_assert!(!line.is_empty() && !line.contains("  "));
                prop_assert!(line.chars().all(|c| c == ' ' || !is_space(c)));
                prop_assert_eq!(line.trim(), &*line);
            } else {
                prop_assert!(text.chars().all(is_space));
            }
        }

        #[test]
        fn times_never_panic(text in "\\PC{0,40}|[0-9T:+Z.-]{15,40}") {
            let _ = is_rfc3339(&text);
        }
    }
}
