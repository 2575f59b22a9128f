//! Sizes as people write them: a whole number and a unit.

const UNITS: [(&str, u64); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

/// The size in bytes; `None` if `text` is not a size or is too large.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let (unit, factor) = UNITS.into_iter().find(|(unit, _)| text.ends_with(unit))?;
    let number = text.strip_suffix(unit)?.trim_end_matches(' ');
    let whole = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse::<u64>().ok().filter(|_| whole)?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_whole_number_and_a_unit() {
        for (text, expected) in [
            ("100MiB", Some(100 << 20)),
            ("1 GiB", Some(1 << 30)),
            ("64KiB", Some(65_536)),
            ("5kB", Some(5_000)),
            ("5MB", Some(5_000_000)),
            ("5GB", Some(5_000_000_000)),
            ("512B", Some(512)),
            ("0B", Some(0)),
            ("", None),
            ("100", None),
            ("MiB", None),
            ("1.5GiB", None),
            ("-1B", None),
            ("+1B", None),
            (" 1B", None),
            ("100M", None),
            ("100mib", None),
            ("99999999999999999999B", None),
            ("99999999999999GiB", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
