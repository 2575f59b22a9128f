//! The type of an event by the keys that it has, for vendors that name the type in an unsigned header only.
//!
//! Rules are tried in order; the first one whose conditions all hold gives the type. A condition is a path,
//! `review`, whose key must be there, even with the value null; or a path and values, `action=opened|closed`,
//! one of which it must have.

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
struct Condition {
    slot: usize,
    /// Empty if any value will do.
    values: Vec<Box<str>>,
}

impl TypeByKeys {
    /// Prepares the rules; their paths become slots of `event`. If a condition is not valid, gives it with the reason.
    pub(super) fn new(
        rules: &[(&str, Vec<&str>)],
        event: &mut Paths,
    ) -> Result<Self, (String, InvalidTemplate)> {
        let mut condition = |text: &&str| {
            let (path, values) = text.split_once('=').unwrap_or((text, ""));
            let invalid = |why| {
                let why = InvalidTemplate::Path { path: path.to_owned(), why };
                ((*text).to_owned(), why)
            };
            let values = values.split('|').filter(|value| !value.is_empty()).map(Into::into);
            let slot = event.slot(path).map_err(invalid)?;
            Ok::<_, (String, InvalidTemplate)>(Condition { slot, values: values.collect() })
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
        let holds = |condition: &Condition| {
            let Some(field) = event.get(condition.slot).filter(|field| field.is_there()) else {
                return false;
            };
            let is = |text: &str| condition.values.iter().any(|value| **value == *text);
            condition.values.is_empty() || field.text().is_some_and(|text| is(&text))
        };
        let rule = self.rules.iter().find(|(_, conditions)| conditions.iter().all(holds));
        rule.map(|(name, _)| &**name)
    }
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
        ];
        let types = TypeByKeys::new(&rules, &mut paths).unwrap();
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
            ("[]", None),
        ] {
            assert_eq!(types.of(&paths.read(event)), expected, "{event}");
        }
        let wrong = TypeByKeys::new(&[("a", vec!["b..c=1"])], &mut paths).unwrap_err();
        assert_eq!(wrong.0, "b..c=1");
    }
}
