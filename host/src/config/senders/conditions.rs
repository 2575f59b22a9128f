//! Finds conditions of `type_by_keys` that say nothing, that exclude one another, or that an earlier type has already.

use crate::normalize::ONLY;

/// One condition as written.
enum Condition<'t> {
    Only(Vec<&'t str>),
    Has { path: &'t str, values: Option<Vec<&'t str>> },
}

impl<'t> Condition<'t> {
    fn of(text: &'t str) -> Self {
        if let Some(keys) = text.strip_prefix(ONLY) {
            return Self::Only(keys.split('|').collect());
        }
        match text.split_once('=') {
            Some((path, values)) => Self::Has { path, values: Some(values.split('|').collect()) },
            None => Self::Has { path: text, values: None },
        }
    }

    /// What is wrong with it alone.
    fn odd(&self) -> Option<&'static str> {
        match self {
            Self::Only(keys) if keys.iter().any(|key| key.trim().is_empty()) => {
                Some("a key is empty")
            }
            Self::Only(keys) if has_twice(keys) => Some("a key is there twice"),
            Self::Has { path, .. } if path.trim().is_empty() => Some("the path is empty"),
            Self::Has { values: Some(values), .. } if values.contains(&"") => {
                Some("a value is empty")
            }
            Self::Has { values: Some(values), .. } if has_twice(values) => {
                Some("a value is there twice")
            }
            Self::Only(_) | Self::Has { .. } => None,
        }
    }

    /// Why no event meets both, or one of them is enough.
    fn against(&self, other: &Self) -> Option<&'static str> {
        match (self, other) {
            (Self::Only(_), Self::Only(_)) => Some("all keys are listed already"),
            (Self::Only(keys), Self::Has { path, .. })
            | (Self::Has { path, .. }, Self::Only(keys)) => {
                let is_listed = first_step(path).is_none_or(|step| keys.contains(&step));
                (!is_listed).then_some("`only:` does not list a key of another condition")
            }
            (Self::Has { path, values }, Self::Has { path: of_other, values: values_of_other }) => {
                let text_is_object = |text: bool, outer: &str, inner: &str| {
                    let separator = if outer.starts_with('/') { '/' } else { '.' };
                    let rest = inner.strip_prefix(outer);
                    text && rest.is_some_and(|rest| rest.starts_with(separator))
                };
                if path == of_other {
                    Some("its path has a condition already")
                } else if text_is_object(values.is_some(), path, of_other)
                    || text_is_object(values_of_other.is_some(), of_other, path)
                {
                    Some("the text at one path cannot have another path in it")
                } else {
                    None
                }
            }
        }
    }

    /// Whether the other one holds whenever this one does.
    fn implies(&self, other: &Self) -> bool {
        let within = |few: &[&str], many: &[&str]| few.iter().all(|one| many.contains(one));
        match (self, other) {
            (Self::Only(few), Self::Only(many)) => within(few, many),
            (Self::Has { path, values }, Self::Has { path: of_other, values: values_of_other }) => {
                path == of_other
                    && match (values, values_of_other) {
                        (_, None) => true,
                        (Some(few), Some(many)) => within(few, many),
                        (None, Some(_)) => false,
                    }
            }
            _ => false,
        }
    }
}

/// What is wrong with a condition after those before it in the same rule.
pub(super) fn odd(text: &str, before: &[&str]) -> Option<&'static str> {
    let condition = Condition::of(text);
    condition
        .odd()
        .or_else(|| before.iter().find_map(|other| condition.against(&Condition::of(other))))
}

/// Whether a rule with `earlier` conditions holds whenever one with these does.
pub(super) fn imply(conditions: &[&str], earlier: &[&str]) -> bool {
    let implied = |of_earlier: &&str| {
        let of_earlier = Condition::of(of_earlier);
        conditions.iter().any(|one| Condition::of(one).implies(&of_earlier))
    };
    // A rule without a condition was refused already.
    !earlier.is_empty() && earlier.iter().all(implied)
}

fn has_twice(texts: &[&str]) -> bool {
    (1..texts.len()).any(|at| texts[..at].contains(&texts[at]))
}

/// The key of the event where a path begins; `None` if it is escaped.
fn first_step(path: &str) -> Option<&str> {
    let step = match path.strip_prefix('/') {
        Some(pointer) => pointer.split('/').next(),
        None => path.split('.').next(),
    };
    step.filter(|step| !step.contains('~'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_that_are_never_true_are_odd() {
        for (text, before, is_odd) in [
            ("only:a|b", &[][..], false),
            ("only:", &[], true),
            ("only: ", &[], true),
            ("only:|", &[], true),
            ("only:a|", &[], true),
            ("only:a|a", &[], true),
            ("only:a", &["only:b"], true),
            ("only:a", &["b"], true),
            ("only:a", &["/b/c=1"], true),
            ("b.c", &["only:a|c"], true),
            ("b.c", &["only:a|b"], false),
            ("/~0b", &["only:~b"], false),
            ("a.b", &["a=x"], true),
            ("a=x", &["a.b=y"], true),
            ("ab", &["a=x"], false),
            ("a.b", &["a"], false),
            ("a", &["a=x"], true),
            ("a=", &[], true),
            ("a=x|", &[], true),
            ("a=x|x", &[], true),
            ("=x", &[], true),
        ] {
            assert_eq!(odd(text, before).is_some(), is_odd, "{text} after {before:?}");
        }
    }

    #[test]
    fn a_rule_is_never_used_if_an_earlier_one_holds_whenever_it_does() {
        for (conditions, earlier, implied) in [
            (&["a", "b"][..], &["b"][..], true),
            (&["b"], &["a", "b"], false),
            (&["a=x", "b"], &["a"], true),
            (&["a=x"], &["a=y|x"], true),
            (&["a=x|z"], &["a=y|x"], false),
            (&["a"], &["a=x"], false),
            (&["only:a"], &["only:b|a"], true),
            (&["only:a|b"], &["only:a"], false),
            (&["a"], &[], false),
        ] {
            assert_eq!(imply(conditions, earlier), implied, "{conditions:?} after {earlier:?}");
        }
    }
}
