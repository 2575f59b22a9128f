//! Patterns for event types: `*` matches any characters, `?` one, everything else itself. A `!` before the pattern
//! excludes matching types.

use std::fmt;
use std::str::FromStr;

/// Longest pattern in bytes. Matching costs at most the product of the lengths of pattern and type, both bounded.
pub const PATTERN_BYTES_MAX: usize = 256;

/// One entry of a rule's `types`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypePattern {
    glob: String,
    excludes: bool,
}

/// Why a text is not a valid pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    #[error("an empty pattern matches no type; write * to match any")]
    Empty,
    #[error("a pattern has at most {PATTERN_BYTES_MAX} bytes")]
    TooLong,
    #[error("write at most one ! before a pattern")]
    DoubleNegation,
}

impl TypePattern {
    /// Whether the pattern, without its `!`, matches the whole of `event_type`. Case-sensitive.
    #[must_use]
    pub fn matches(&self, event_type: &str) -> bool {
        fits(&self.glob, event_type)
    }

    /// Whether this pattern surely matches all that the other one matches, both without their `!`. A `*` of the other
    /// one stands for any number of characters, so only a `*` matches it.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let is_certain = !(self.glob.contains('?') && other.glob.contains('*'));
        is_certain && fits(&self.glob, &other.glob)
    }

    /// Whether the pattern, without its `!`, matches every type.
    #[must_use]
    pub fn matches_all(&self) -> bool {
        self.glob.bytes().all(|byte| byte == b'*')
    }

    /// Whether the pattern begins with `!`.
    #[must_use]
    pub const fn excludes(&self) -> bool {
        self.excludes
    }
}

impl FromStr for TypePattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let (excludes, glob) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
        if glob.is_empty() {
            Err(InvalidPattern::Empty)
        } else if glob.len() > PATTERN_BYTES_MAX {
            Err(InvalidPattern::TooLong)
        } else if glob.starts_with('!') {
            Err(InvalidPattern::DoubleNegation)
        } else {
            Ok(Self { glob: glob.to_owned(), excludes })
        }
    }
}

impl fmt::Display for TypePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.excludes { "!" } else { "" }, self.glob)
    }
}

/// Walks both texts once and goes back only to the last `*`. Going back to an earlier one would match nothing more,
/// so the cost is at most the product of the lengths.
fn fits(glob: &str, text: &str) -> bool {
    let (mut glob, mut text) = (glob.chars(), text.chars());
    let mut last_star = None;
    loop {
        let before_text = text.clone();
        match (glob.next(), text.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                // For now it matches no character, so `text` does not advance.
                text = before_text;
                last_star = Some((glob.clone(), text.clone()));
            }
            (Some('?'), Some(_)) => {}
            (Some(wanted), Some(found)) if wanted == found => {}
            _ => {
                // The last `*` matches one more character, if one is left.
                let Some((after_star, taken)) = &mut last_star else { return false };
                if taken.next().is_none() {
                    return false;
                }
                (glob, text) = (after_star.clone(), taken.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(text: &str) -> TypePattern {
        text.parse().unwrap()
    }

    #[test]
    fn a_pattern_matches_the_whole_type() {
        for (glob, event_type, expected) in [
            ("test", "test", true),
            ("test", "tests", false),
            ("test", "Test", false),
            ("*", "", true),
            ("*", "anything", true),
            ("security_*", "security_event", true),
            ("security_*", "security_", true),
            ("security_*", "insecurity_event", false),
            ("*_event", "security_event", true),
            ("*_event", "security_event2", false),
            ("http_?can", "http_scan", true),
            ("http_?can", "http_can", false),
            ("?", "é", true),
            ("?", "", false),
            ("a*b*c", "axxbyybzzc", true),
            ("a*b*c", "axxbyybzz", false),
            ("**x**", "aax", true),
            ("*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(pattern(glob).matches(event_type), expected, "{glob} on {event_type}");
        }
    }

    #[test]
    fn a_pattern_that_matches_more_covers_another() {
        for (glob, other, expected) in [
            ("a", "a", true),
            ("a*", "a*b", true),
            ("*", "a?b*", true),
            ("a?", "a?", true),
            ("a?", "ab", true),
            ("a?", "a*", false),
            ("a", "a*", false),
            ("a*b", "a*", false),
        ] {
            assert_eq!(pattern(glob).covers(&pattern(other)), expected, "{glob} and {other}");
        }
    }

    #[test]
    fn useless_or_ambiguous_patterns_are_errors() {
        for (text, expected) in [
            ("", InvalidPattern::Empty),
            ("!", InvalidPattern::Empty),
            ("!!test", InvalidPattern::DoubleNegation),
            (&"x".repeat(PATTERN_BYTES_MAX + 1), InvalidPattern::TooLong),
        ] {
            assert_eq!(text.parse::<TypePattern>(), Err(expected), "{text}");
        }
    }

    /// The definition, regardless of cost.
    fn by_definition(glob: &[char], text: &[char]) -> bool {
        match (glob.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) => {
                (0..=text.len()).any(|taken| by_definition(rest, &text[taken..]))
            }
            (Some(('?', glob)), Some((_, text))) => by_definition(glob, text),
            (Some((wanted, glob)), Some((found, text))) => {
                wanted == found && by_definition(glob, text)
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_the_definition(glob in "[ab*?é]{1,8}", text in "[abé]{0,8}") {
            let (g, t): (Vec<_>, Vec<_>) = (glob.chars().collect(), text.chars().collect());
            prop_assert_eq!(pattern(&glob).matches(&text), by_definition(&g, &t));
        }

        #[test]
        fn what_a_covered_pattern_matches_the_other_one_matches(
            glob in "[ab*?]{1,5}", other in "[ab*?]{1,5}", text in "[ab]{0,6}",
        ) {
            let (glob, other) = (pattern(&glob), pattern(&other));
            if glob.covers(&other) && other.matches(&text) {
                prop_assert!(glob.matches(&text));
            }
        }

        #[test]
        fn a_pattern_prints_as_written(text in "!?[a-z*?]{1,20}") {
            prop_assert_eq!(pattern(&text).to_string(), text);
        }
    }
}
