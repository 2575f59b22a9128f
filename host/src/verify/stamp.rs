//! Reads, writes and checks the time of a signature.

use super::VerifyRefusal;
use super::scheme::{Stamp, StampIn, Unit};
use super::spot;
use crate::model::Timestamp;

/// Longest text of a timestamp, in bytes. The longest form of RFC 3339 with nanoseconds has 35.
const STAMP_BYTES_MAX: usize = 64;

/// Refuses a timestamp that is too far from `now`. The limits are inclusive.
pub(super) fn check(stamp: &Stamp, text: &[u8], now: Timestamp) -> Result<(), VerifyRefusal> {
    // Nothing is signed beside a time in the content that is signed as a whole.
    let is_free = matches!(stamp.place, StampIn::Inside(_));
    let read = millis(stamp.unit, text)
        .or_else(|| if is_free { any_form(stamp.unit, text) } else { None });
    let millis = read.ok_or_else(|| VerifyRefusal::StampMalformed {
        place: place(stamp),
        expected: stamp.unit.name(),
    })?;
    let now = i128::from(now.as_millis());
    let (age, ahead) = (now - i128::from(millis), i128::from(millis) - now);
    let seconds = |millis: i128| u64::try_from(millis / 1000).unwrap_or(u64::MAX);
    if age > i128::from(stamp.past_s) * 1000 {
        return Err(VerifyRefusal::Stale { age_s: seconds(age), max_s: stamp.past_s });
    }
    if ahead > i128::from(stamp.future_s) * 1000 {
        return Err(VerifyRefusal::Future { ahead_s: seconds(ahead), max_s: stamp.future_s });
    }
    Ok(())
}

/// Milliseconds since 1970. Each unit has one form, and no text of that form begins or ends another one of about the same
/// time. Otherwise anyone could move bytes between the time and the signed part beside it.
pub(super) fn millis(unit: Unit, text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= STAMP_BYTES_MAX)?;
    match unit {
        Unit::Seconds => number(text).and_then(|seconds| seconds.checked_mul(1000)),
        Unit::Millis => number(text),
        Unit::Rfc3339 if !is_rfc3339(text) => None,
        Unit::Rfc3339 => text.parse().ok().map(jiff::Timestamp::as_millisecond),
        Unit::HttpDate => {
            let parser = jiff::fmt::rfc2822::DateTimeParser::new();
            let time = parser.parse_timestamp(text).ok().map(jiff::Timestamp::as_millisecond)?;
            // The only form of RFC 9110 that is sent today.
            let written = write(unit, Timestamp::from_millis(u64::try_from(time).ok()?));
            (written == text).then_some(time)
        }
    }
}

/// The same in other forms of the unit that senders write into their content.
fn any_form(unit: Unit, text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= STAMP_BYTES_MAX)?;
    let time: Option<jiff::Timestamp> = match unit {
        Unit::Seconds | Unit::Millis => None,
        Unit::Rfc3339 => text.parse().ok(),
        Unit::HttpDate => jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok(),
    };
    time.map(jiff::Timestamp::as_millisecond)
}

/// Whether a part of the text could be the beginning of an RFC 3339 time.
pub(super) fn contains_date(text: &[u8]) -> bool {
    text.windows(DATE.len()).any(|part| fits(part, DATE))
}

const DATE: &[u8] = b"0000-00-00T";

/// Whether the text has this form, in which `0` stands for any digit.
fn fits(text: &[u8], form: &[u8]) -> bool {
    let same = |(byte, form): (&u8, &u8)| match form {
        b'0' => byte.is_ascii_digit(),
        form => byte == form,
    };
    text.len() == form.len() && text.iter().zip(form).all(same)
}

/// No sign, no space, no zeros in front.
fn number(text: &str) -> Option<i64> {
    let is_padded = text.len() > 1 && text.starts_with('0');
    let is_number = !is_padded && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

/// `2026-11-29T01:38:02Z`, with or without a fraction, in UTC or with an offset in hours and minutes.
fn is_rfc3339(text: &str) -> bool {
    const DATE_AND_TIME: &[u8] = b"0000-00-00T00:00:00";
    const OFFSET: &[u8] = b"00:00";
    let Some((begin, rest)) = text.as_bytes().split_at_checked(DATE_AND_TIME.len()) else {
        return false;
    };
    let zone = match rest {
        [b'.', fraction @ ..] => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return false;
            }
            &fraction[digits..]
        }
        rest => rest,
    };
    let is_zone = match zone {
        [b'Z'] => true,
        [b'+' | b'-', offset @ ..] => fits(offset, OFFSET),
        _ => false,
    };
    fits(begin, DATE_AND_TIME) && is_zone
}

/// Writes `now` in this unit.
pub(super) fn write(unit: Unit, now: Timestamp) -> String {
    let millis = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    match unit {
        Unit::Seconds => (millis / 1000).to_string(),
        Unit::Millis => millis.to_string(),
        Unit::Rfc3339 => format!("{time:.0}"),
        Unit::HttpDate => time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
    }
}

/// Where it is, for people.
pub(super) fn place(stamp: &Stamp) -> String {
    match &stamp.place {
        StampIn::Headers(names) => {
            let names: Vec<&str> = names.iter().map(http::HeaderName::as_str).collect();
            format!("header {}", names.join(" or "))
        }
        StampIn::Element(mark) => format!("the signature's header, written {mark}…"),
        StampIn::Inside(spots) => spot::shown(spots),
    }
}

impl Unit {
    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Seconds => "a number of seconds since 1970",
            Self::Millis => "a number of milliseconds since 1970",
            Self::Rfc3339 => "an RFC 3339 time",
            Self::HttpDate => "an HTTP date",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNITS: [Unit; 4] = [Unit::Seconds, Unit::Millis, Unit::Rfc3339, Unit::HttpDate];

    #[test]
    fn each_unit_reads_what_it_writes() {
        let now = Timestamp::from_millis(1_700_000_000_000);
        for unit in UNITS {
            let text = write(unit, now);
            assert_eq!(millis(unit, text.as_bytes()), Some(1_700_000_000_000), "{text}");
        }
        assert_eq!(write(Unit::Rfc3339, now), "2023-11-14T22:13:20Z");
        assert_eq!(write(Unit::HttpDate, now), "Tue, 14 Nov 2023 22:13:20 GMT");
        let offset = millis(Unit::Rfc3339, b"2023-11-14T15:13:20.618908427-07:00");
        assert_eq!(offset, Some(1_700_000_000_618));
    }

    #[test]
    fn texts_that_are_not_times_are_refused() {
        let long = "1".repeat(STAMP_BYTES_MAX + 1);
        for text in
            ["", " 1", "+1", "-1", "1.5", "0x1", "1e3", "99999999999999999999", "now", &long]
        {
            for unit in UNITS {
                assert_eq!(millis(unit, text.as_bytes()), None, "{text}");
            }
        }
    }

    #[test]
    fn a_time_has_one_spelling() {
        let unpadded = |unit, text: &str| millis(unit, format!("0{text}").as_bytes()).is_none();
        assert!(unpadded(Unit::Seconds, "1700000000") && unpadded(Unit::Millis, "1700000000000"));
        assert_eq!(millis(Unit::Seconds, b"0"), Some(0));
        for text in [
            "2023-11-14T22:13:20Z",
            "2023-11-14T22:13:20.5Z",
            "2023-11-14T22:13:20+00:00",
            "2023-11-14T22:13:20.123456789-07:30",
        ] {
            assert!(millis(Unit::Rfc3339, text.as_bytes()).is_some(), "{text}");
        }
        for text in [
            "+002023-11-14T22:13:20Z",
            "-002023-11-14T22:13:20Z",
            "20231114T221320Z",
            "2023-11-14 22:13:20Z",
            "2023-11-14t22:13:20z",
            "2023-11-14T22:13Z",
            "2023-11-14T22:13:20",
            "2023-11-14T22:13:20.Z",
            "2023-11-14T22:13:20,5Z",
            "2023-11-14T22:13:20Z[UTC]",
            "2023-11-14T22:13:20Z[null]",
            "2023-11-14T22:13:20+00",
            "2023-11-14T22:13:20+00:00:00",
            "2023-11-14T22:13:20+0000",
        ] {
            assert_eq!(millis(Unit::Rfc3339, text.as_bytes()), None, "{text}");
        }
        for text in [
            "14 Nov 2023 22:13:20 GMT",
            "Tue, 14 Nov 2023 22:13:20 GMTno",
            "Tue, 14 Nov 2023 22:13:20 G",
            "Tue, 14 Nov 2023 22:13:20 GMT (x)",
            "Tue, 14 Nov 2023 22:13:20 +0000",
            "Tue, 14 Nov 2023 22:13:20  GMT",
            "tue, 14 nov 2023 22:13:20 GMT",
        ] {
            assert_eq!(millis(Unit::HttpDate, text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_limit_is_accepted_and_a_millisecond_more_is_not() {
        let stamp = Stamp {
            place: StampIn::Element("t=".into()),
            unit: Unit::Seconds,
            past_s: 300,
            future_s: 10,
            covered: true,
            optional: false,
        };
        let check = |now| check(&stamp, b"1700000000", Timestamp::from_millis(now)).err();
        let at = 1_700_000_000_000;
        assert_eq!(check(at + 300_000), None);
        assert_eq!(check(at + 300_001), Some(VerifyRefusal::Stale { age_s: 300, max_s: 300 }));
        assert_eq!(check(at - 10_000), None);
        assert_eq!(check(at - 11_000), Some(VerifyRefusal::Future { ahead_s: 11, max_s: 10 }));
        assert!(matches!(check(u64::MAX), Some(VerifyRefusal::Stale { .. })));
    }
}
