//! Numbers of bytes as people read them.

/// Names and sizes, largest first.
const UNITS: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// A number of bytes in the largest fitting unit, with one decimal: `1.4GiB`.
#[must_use]
pub fn about_bytes(bytes: u64) -> String {
    let unit = UNITS.into_iter().find(|(_, size)| bytes >= *size);
    let (name, size) = unit.unwrap_or(("B", 1));
    match (bytes / size, bytes % size * 10 / size) {
        (whole, 0) => format!("{whole}{name}"),
        (whole, tenth) => format!("{whole}.{tenth}{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_with_one_decimal() {
        for (bytes, shown) in
            [(0, "0B"), (1023, "1023B"), (1536, "1.5KiB"), (1000 << 40, "1000TiB")]
        {
            assert_eq!(about_bytes(bytes), shown);
        }
        assert_eq!(about_bytes(u64::MAX), "16777215.9TiB");
    }
}
