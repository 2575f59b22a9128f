//! The type of an event by the keys that it has, for vendors that name the type in an unsigned header only.
//!
//! Rules are tried in order; the first one whose conditions all hold gives the type. A condition is a path,
//! `review`, whose key must be there, even with the value null; or a path and values, `action=opened|closed`,
//! one of which it must have; or `only:action|repository`, if the event may have no other keys than these: an event
//! of a kind that the table does not know must not get the type of a kind with fewer keys.

use super::fields::Field;
use super::paths::Paths;
use super::template::InvalidTemplate;

/// Most rules of a sender.
pub const TYPES_BY_KEYS_MAX: usize = 200;
/// Most conditions of a rule.
pub const TYPE_CONDITIONS_MAX: usize = 8;

/// Types with the conditions for each, in order.
#[derive(Clone, Debug)]
pub(super) struct TypeByKeys {
    rules: Vec<(Box<str>, Vec<Condition>)>,
}

#[derive(Clone, Debug)]
enum Condition {
    /// The key of this slot is there, with one of these values if there are any.
    Has { slot: usize, values: Vec<Box<str>> },
    /// The event has no key of these slots, of which one stands for all keys that no rule lists.
    Without(Vec<usize>),
}

/// How a condition begins that lists all keys.
pub const ONLY: &str = "only:";

impl TypeByKeys {
    /// Without rules.
    pub(super) const fn none() -> Self {
        Self { rules: Vec::new() }
    }

    /// Prepares the rules; their paths become slots of `event`. If a condition is not valid, gives it with the reason.
    pub(super) fn new(
        rules: &[(&str, Vec<&str>)],
        event: &mut Paths,
    ) -> Result<Self, (String, InvalidTemplate)> {
        let all = || rules.iter().flat_map(|(_, conditions)| conditions);
        let only: Vec<(&str, usize)> = all()
            .filter_map(|condition| condition.strip_prefix(ONLY))
            .flat_map(list)
            .map(|key| (key, event.listed_key(key)))
            .collect();
        let mut condition = |text: &&str| {
            if let Some(keys) = text.strip_prefix(ONLY) {
                let is_other = |(key, _): &&(&str, usize)| !list(keys).any(|known| known == *key);
                let others = only.iter().filter(is_other).map(|(_, slot)| *slot);
                let mut without: Vec<_> = std::iter::once(event.others()).chain(others).collect();
                without.sort_unstable();
                without.dedup();
                return Ok(Condition::Without(without));
            }
            let (path, values) = text.split_once('=').unwrap_or((text, ""));
            let invalid = |why| {
                let why = InvalidTemplate::Path { path: path.to_owned(), why };
                ((*text).to_owned(), why)
            };
            let slot = event.slot(path).map_err(invalid)?;
            let values = list(values).map(Into::into).collect();
            Ok::<_, (String, InvalidTemplate)>(Condition::Has { slot, values })
        };
        let rule = |(name, conditions): &(&str, Vec<&str>)| {
            let conditions: Result<Vec<_>, _> = conditions.iter().map(&mut condition).collect();
            conditions.map(|conditions| ((*name).into(), conditions))
        };
        Ok(Self { rules: rules.iter().map(rule).collect::<Result<_, _>>()? })
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The type of an event with these values.
    pub(super) fn of(&self, event: &[Field<'_>]) -> Option<&str> {
        let value = |slot: usize| event.get(slot).filter(|field| field.is_there());
        let holds = |condition: &Condition| match condition {
            Condition::Has { slot, values } => value(*slot).is_some_and(|field| {
                values.is_empty()
                    || field.text().is_some_and(|text| values.iter().any(|one| **one == *text))
            }),
            Condition::Without(slots) => slots.iter().all(|slot| value(*slot).is_none()),
        };
        let rule = self.rules.iter().find(|(_, conditions)| conditions.iter().all(holds));
        rule.map(|(name, _)| &**name)
    }
}

/// The texts of a list `a|b`.
fn list(texts: &str) -> impl Iterator<Item = &str> {
    texts.split('|').filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_whose_conditions_all_hold_counts() {
        let mut paths = Paths::new();
        let rules = [
            ("review", vec!["review", "pull_request"]),
            ("pull", vec!["pull_request"]),
            ("star", vec!["starred_at"]),
            ("watch", vec!["action=started|watched", "repository.id"]),
            ("public", vec!["repository", "only:repository|sender"]),
            ("list", vec!["only:a.b|list|alert"]),
        ];
        let types = TypeByKeys::new(&rules, &mut paths).unwrap();
        // Paths that are added later are other keys, too.
        paths.slot("later").unwrap();
        for (event, expected) in [
            (r#"{"pull_request":{},"review":{}}"#, Some("review")),
            (r#"{"pull_request":{}}"#, Some("pull")),
            (r#"{"review":{}}"#, None),
            (r#"{"starred_at":null}"#, Some("star")),
            (r#"{"action":"started","repository":{"id":1}}"#, Some("watch")),
            (r#"{"action":"watched","repository":{"id":1}}"#, Some("watch")),
            (r#"{"action":"start","repository":{"id":1}}"#, None),
            (r#"{"action":null,"repository":{"id":1}}"#, None),
            (r#"{"action":"started","repository":1}"#, None),
            (r#"{"repository":1}"#, Some("public")),
            (r#"{"sender":{"id":1},"repository":{"id":1}}"#, Some("public")),
            (r#"{"sender":{},"repository":{},"alert":null}"#, None),
            (r#"{"sender":1}"#, None),
            (r#"{"list":[],"a.b":1,"alert":{"rule":1}}"#, Some("list")),
            (r#"{"list":[],"a":{"b":1}}"#, None),
            (r#"{"list":[],"later":1}"#, None),
            ("[]", Some("list")),
        ] {
            assert_eq!(types.of(&paths.read(event)), expected, "{event}");
        }
        let wrong = TypeByKeys::new(&[("a", vec!["b..c=1"])], &mut paths).unwrap_err();
        assert_eq!(wrong.0, "b..c=1");
    }
}
