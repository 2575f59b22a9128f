//! Durations, sizes and rates as people write them, a whole number and its unit: `10s`, `64MiB`, `100/s`.

use std::time::Duration;

/// Names and sizes, smallest first.
type Units = &'static [(&'static str, u64)];

const DURATIONS: Units = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", DAY_MS)];
const DAY_MS: u64 = 86_400_000;
const SIZES: Units =
    &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// Why a text is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InvalidQuantity {
    /// Follows the key's name: `has no unit`.
    pub(super) title: &'static str,
    /// What to write.
    pub(super) label: String,
    pub(super) help: String,
}

pub(super) fn duration(text: &str) -> Result<Duration, InvalidQuantity> {
    quantity(text, DURATIONS, "10s").map(Duration::from_millis)
}

pub(super) fn bytes(text: &str) -> Result<u64, InvalidQuantity> {
    quantity(text, SIZES, "64MiB")
}

/// Names and lengths of the periods of a rate, in ms.
const PERIODS: Units = &[("s", 1_000), ("min", 60_000), ("h", 3_600_000), ("day", DAY_MS)];

/// The number and the period of a rate such as `100/s`.
pub(super) fn rate(text: &str) -> Result<(u64, Duration), InvalidQuantity> {
    let help = format!("periods are {}", names(PERIODS));
    let invalid = |title, label: String| InvalidQuantity { title, label, help: help.clone() };
    let example = || "write a number and a period, such as \"100/s\"".to_owned();
    let Some((count, period)) = text.split_once('/') else {
        return Err(invalid("is not a valid rate", example()));
    };
    let digits = !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit());
    let Some(count) = count.parse().ok().filter(|_| digits) else {
        return Err(invalid("is not a valid rate", example()));
    };
    match PERIODS.iter().find(|(name, _)| *name == period) {
        Some((_, ms)) => Ok((count, Duration::from_millis(*ms))),
        None => {
            let label = match near_period(period) {
                Some(near) => format!("write \"{count}/{near}\""),
                None => format!("unknown period `{period}`"),
            };
            Err(invalid("has an unknown period", label))
        }
    }
}

/// A rate as it is written in a configuration.
#[must_use]
pub fn show_rate(count: u32, per: Duration) -> String {
    let known = PERIODS.iter().find(|(_, ms)| Duration::from_millis(*ms) == per);
    format!("{count}/{}", known.map_or_else(|| show_duration(per), |(name, _)| (*name).to_owned()))
}

fn near_period(period: &str) -> Option<&'static str> {
    match period.trim().to_ascii_lowercase().as_str() {
        "s" | "sec" | "secs" | "second" | "seconds" | "1s" => Some("s"),
        "m" | "min" | "mins" | "minute" | "minutes" | "1m" => Some("min"),
        "h" | "hr" | "hour" | "hours" | "1h" => Some("h"),
        "d" | "day" | "days" | "1d" => Some("day"),
        _ => None,
    }
}

/// The error for a bare number in place of a duration.
pub(super) fn duration_of_number(number: &str) -> InvalidQuantity {
    no_unit(number, DURATIONS, "s")
}

/// The error for a bare number in place of a size.
pub(super) fn bytes_of_number(number: &str) -> InvalidQuantity {
    no_unit(number, SIZES, "MiB")
}

/// In the largest unit that gives a whole number: `90s`, `24h`, `2d`.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    show(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), DURATIONS)
}

pub(super) fn show_bytes(bytes: u64) -> String {
    show(bytes, SIZES)
}

fn show(value: u64, units: Units) -> String {
    // A single day is better known as 24h.
    let fits = |size: u64| value.is_multiple_of(size) && (size != DAY_MS || value >= 2 * DAY_MS);
    let unit = units.iter().rev().find(|(_, size)| value != 0 && fits(*size));
    let (name, size) = unit.copied().unwrap_or((units[0].0, 1));
    format!("{}{name}", value / size)
}

fn quantity(text: &str, units: Units, example: &str) -> Result<u64, InvalidQuantity> {
    let help = format!("units are {}", names(units));
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        let label = format!("write a whole number and a unit, such as \"{example}\"");
        return Err(InvalidQuantity { title: "is not a number with a unit", label, help });
    }
    if unit.is_empty() {
        return Err(no_unit(
            number,
            units,
            example.trim_start_matches(|c: char| c.is_ascii_digit()),
        ));
    }
    let Some((_, size)) = units.iter().find(|(name, _)| *name == unit) else {
        let label = match near_unit(unit, units) {
            Some(near) => format!("write \"{number}{near}\""),
            None => format!("unknown unit `{unit}`"),
        };
        return Err(InvalidQuantity { title: "has an unknown unit", label, help });
    };
    let value = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*size));
    value.ok_or_else(|| InvalidQuantity {
        title: "is too large",
        label: format!("write a smaller number, such as \"{example}\""),
        help,
    })
}

fn no_unit(number: &str, units: Units, likely: &str) -> InvalidQuantity {
    InvalidQuantity {
        title: "has no unit",
        label: format!("write \"{number}{likely}\""),
        help: format!("units are {}", names(units)),
    }
}

/// The unit that a person probably meant by `sec`, `MB` or ` s`.
fn near_unit(unit: &str, units: Units) -> Option<&'static str> {
    let word = unit.trim().to_ascii_lowercase();
    let meant = match word.as_str() {
        "sec" | "secs" | "second" | "seconds" => "s",
        "min" | "mins" | "minute" | "minutes" => "m",
        "hour" | "hours" | "hr" => "h",
        "day" | "days" => "d",
        "byte" | "bytes" => "B",
        "k" | "kb" => "KiB",
        "mb" => "MiB",
        "g" | "gb" => "GiB",
        "t" | "tb" => "TiB",
        other => other,
    };
    units.iter().map(|(name, _)| *name).find(|name| name.eq_ignore_ascii_case(meant))
}

fn names(units: Units) -> String {
    units.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_every_unit() {
        for (text, millis) in [("0s", 0), ("250ms", 250), ("10s", 10_000), ("2h", 7_200_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(duration("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(show_duration(Duration::from_secs(86_400)), "24h");
        assert_eq!(show_bytes(1 << 40), "1TiB");
        for (text, size) in [("0B", 0), ("4KiB", 4096), ("64MiB", 64 << 20), ("1TiB", 1 << 40)] {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
    }

    #[test]
    fn errors_say_what_to_write_instead() {
        for (text, label) in [
            ("10", "write \"10s\""),
            ("10 s", "write \"10s\""),
            ("5min", "write \"5m\""),
            ("5weeks", "unknown unit `weeks`"),
            ("soon", "write a whole number and a unit, such as \"10s\""),
            ("-5s", "write a whole number and a unit, such as \"10s\""),
            ("99999999999999999999s", "write a smaller number, such as \"10s\""),
            ("18446744073709551615d", "write a smaller number, such as \"10s\""),
        ] {
            assert_eq!(
                duration(text).map_err(|invalid| invalid.label),
                Err(label.to_owned()),
                "{text}"
            );
        }
        for (text, label) in
            [("4", "write \"4MiB\""), ("4MB", "write \"4MiB\""), ("4k", "write \"4KiB\"")]
        {
            assert_eq!(
                bytes(text).map_err(|invalid| invalid.label),
                Err(label.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn a_rate_is_a_number_per_period() {
        for (text, count, seconds) in
            [("1/s", 1, 1), ("100/min", 100, 60), ("5/h", 5, 3_600), ("200/day", 200, 86_400)]
        {
            let per = Duration::from_secs(seconds);
            assert_eq!(rate(text), Ok((count, per)), "{text}");
            assert_eq!(show_rate(u32::try_from(count).unwrap(), per), text);
        }
        let example = "write a number and a period, such as \"100/s\"";
        for (text, label) in [
            ("100", example),
            ("/s", example),
            ("+1/s", example),
            ("1.5/s", example),
            ("99999999999999999999/s", example),
            ("10/m", "write \"10/min\""),
            ("10/ second", "write \"10/s\""),
            ("10/10s", "unknown period `10s`"),
        ] {
            assert_eq!(
                rate(text).map_err(|invalid| invalid.label),
                Err(label.to_owned()),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_can_be_read_again(millis in 0u64..u64::MAX / 2, size: u64) {
            let time = Duration::from_millis(millis);
            prop_assert_eq!(duration(&show_duration(time)), Ok(time));
            prop_assert_eq!(bytes(&show_bytes(size)), Ok(size));
        }

        #[test]
        fn no_text_causes_a_panic(text: String) {
            let _ = (duration(&text), bytes(&text), rate(&text));
        }
    }
}
