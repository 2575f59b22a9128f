//! What a running target was made from, and which targets another configuration exchanges.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::config::TargetConfig;
use crate::deliver;
use crate::model::{Cidr, Secret, TargetNumber};
use crate::plugin::Plugin;

/// All that one target's deliveries depend on: of two that are equal, none need be exchanged for the
/// other. Its route is no part of it: routing ends where deliveries begin. `Debug` shows no value.
#[derive(Clone, PartialEq)]
pub(super) struct Recipe {
    /// Content of the plugin's file.
    plugin: String,
    /// With the secrets that it names, as they were read.
    settings: Value,
    secrets: Vec<Secret>,
    allow: Vec<Cidr>,
    /// Without its number.
    deliver: deliver::Settings,
}

impl fmt::Debug for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recipe").field("plugin", &self.plugin).finish_non_exhaustive()
    }
}

impl Recipe {
    /// `settings` are the target's, or what one of the values that it is fanned out to has of them.
    pub(super) fn new(target: &TargetConfig, settings: &Value, plugin: &Plugin) -> Self {
        Self {
            plugin: plugin.hash().to_owned(),
            settings: settings.clone(),
            secrets: target.settings.secrets.clone(),
            allow: target.allow.clone(),
            deliver: target.deliver(TargetNumber(0), plugin.manifest().mode),
        }
    }
}

/// The recipes of the targets that work, with their names.
pub(super) type Recipes = BTreeMap<TargetNumber, (Arc<str>, Recipe)>;

/// What a reload does with targets; each is named in one list at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) started: Vec<TargetNumber>,
    pub(super) exchanged: Vec<TargetNumber>,
    pub(super) ended: Vec<TargetNumber>,
}

impl Changes {
    pub(super) fn between(old: &Recipes, new: &Recipes) -> Self {
        let mut changes = Self::default();
        for (number, (_, recipe)) in new {
            match old.get(number) {
                None => changes.started.push(*number),
                Some((_, before)) if before != recipe => changes.exchanged.push(*number),
                Some(_) => {}
            }
        }
        changes.ended.extend(old.keys().filter(|number| !new.contains_key(number)));
        changes
    }

    /// Whether the target needs a new instance.
    pub(super) fn begins(&self, number: TargetNumber) -> bool {
        self.started.contains(&number) || self.exchanged.contains(&number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::Policy;
    use serde_json::json;
    use std::time::Duration;

    fn recipe() -> Recipe {
        Recipe {
            plugin: "0a1b".to_owned(),
            settings: json!({ "path": "logs/x.jsonl", "token": "swordfish" }),
            secrets: vec![Secret::new("swordfish")],
            allow: Vec::new(),
            deliver: deliver::Settings {
                name: "a".into(),
                number: TargetNumber(0),
                batch_max: 256,
                concurrency: 1,
                timeout: Duration::from_secs(10),
                policy: Policy::default(),
                digest: None,
            },
        }
    }

    fn recipes(all: &[(u16, Recipe)]) -> Recipes {
        let named = |(number, recipe): &(u16, Recipe)| {
            (TargetNumber(*number), (format!("target-{number}").into(), recipe.clone()))
        };
        all.iter().map(named).collect()
    }

    fn numbers(list: &[u16]) -> Vec<TargetNumber> {
        list.iter().copied().map(TargetNumber).collect()
    }

    #[test]
    fn whatever_a_delivery_depends_on_exchanges_the_target_and_nothing_else_does() {
        type Change = fn(&mut Recipe);
        let changed: [(&str, Change); 7] = [
            ("the plugin's file", |r| r.plugin = "2c3d".to_owned()),
            ("a setting", |r| r.settings["path"] = json!("logs/y.jsonl")),
            ("a secret", |r| r.settings["token"] = json!("marlin")),
            ("what is masked", |r| r.secrets.clear()),
            ("allow", |r| r.allow = vec!["10.0.0.0/8".parse().unwrap()]),
            ("the timeout", |r| r.deliver.timeout = Duration::from_secs(11)),
            ("the policy", |r| r.deliver.policy.attempts_max = Some(3)),
        ];
        let old = recipes(&[(1, recipe()), (2, recipe())]);
        assert_eq!(Changes::between(&old, &old.clone()), Changes::default());
        for (what, change) in changed {
            let mut other = recipe();
            change(&mut other);
            let changes = Changes::between(&old, &recipes(&[(1, recipe()), (2, other)]));
            assert_eq!(changes.exchanged, numbers(&[2]), "{what}");
            assert!(changes.started.is_empty() && changes.ended.is_empty(), "{what}");
        }
    }

    #[test]
    fn what_is_new_starts_and_what_is_gone_ends() {
        let old = recipes(&[(1, recipe()), (2, recipe()), (3, recipe())]);
        let mut other = recipe();
        other.settings = json!({});
        let new = recipes(&[(1, recipe()), (3, other), (4, recipe())]);
        let changes = Changes::between(&old, &new);
        assert_eq!(changes.started, numbers(&[4]));
        assert_eq!(changes.exchanged, numbers(&[3]));
        assert_eq!(changes.ended, numbers(&[2]));
        let begin: Vec<_> = (1..=4).filter(|n| changes.begins(TargetNumber(*n))).collect();
        assert_eq!(begin, [3, 4]);
    }

    #[test]
    fn no_value_is_shown() {
        assert!(!format!("{:?}", recipe()).contains("swordfish"));
    }
}
