//! Words with a count before them.

/// The count with the words for one, or for any other number.
#[must_use]
pub fn counted(count: u64, one: &str, several: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {several}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_singular() {
        let shown = [0, 1, 2].map(|count| counted(count, "delivery waits", "deliveries wait"));
        assert_eq!(shown, ["0 deliveries wait", "1 delivery waits", "2 deliveries wait"]);
    }
}
