//! Lists of names, and the name that a person probably meant.

/// Names at least this similar (Jaro-Winkler) are taken for misspellings of each other.
const SIMILARITY_MIN: f64 = 0.84;

/// The candidate most similar to `name`, if one is similar enough.
#[must_use]
pub fn near<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let name = name.to_ascii_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&name, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// `a, b, c`, sorted, or `none` for an empty list.
#[must_use]
pub fn list<'c>(names: impl IntoIterator<Item = &'c str>) -> String {
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_unstable();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_are_recognized_and_other_names_are_not() {
        let keys = ["plugin", "route", "timeout", "concurrency", "settings", "enabled"];
        for (typed, meant) in [
            ("plugins", Some("plugin")),
            ("timout", Some("timeout")),
            ("concurency", Some("concurrency")),
            ("Enabled", Some("enabled")),
            ("rate", None),
            ("digest", None),
            ("", None),
        ] {
            assert_eq!(near(typed, keys), meant, "{typed}");
        }
        assert_eq!(
            near("GITHUB_SECRET", ["GITHUB_WEBHOOK_SECRET", "PATH"]),
            Some("GITHUB_WEBHOOK_SECRET")
        );
    }
}
