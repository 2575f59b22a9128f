//! Words with a count before them.

/// The count with the words for one, or for any other number.
#[must_use]
pub fn counted(count: u64, one: &str, several: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {several}") }
}

/// `1 frame`, `2 frames`, `1 delivery`, `2 deliveries`.
#[must_use]
pub fn count(n: u64, what: &str) -> String {
    match what.strip_suffix('y') {
        _ if n == 1 => format!("1 {what}"),
        Some(stem) => format!("{n} {stem}ies"),
        None => format!("{n} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_singular() {
        let shown = [0, 1, 2].map(|count| counted(count, "delivery waits", "deliveries wait"));
        assert_eq!(shown, ["0 deliveries wait", "1 delivery waits", "2 deliveries wait"]);
    }

    #[test]
    fn one_is_singular_and_every_other_number_plural() {
        let all =
            [0, 1, 2].map(|n| (count(n, "byte"), count(n, "dead letter"), count(n, "delivery")));
        let shown = all.map(|(a, b, c)| [a, b, c].join(", "));
        assert_eq!(
            shown,
            [
                "0 bytes, 0 dead letters, 0 deliveries",
                "1 byte, 1 dead letter, 1 delivery",
                "2 bytes, 2 dead letters, 2 deliveries"
            ]
        );
    }
}
