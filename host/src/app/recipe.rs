//! What a running target was made from, and which targets a reload starts, replaces and ends.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::config::TargetConfig;
use crate::deliver;
use crate::model::{Cidr, Secret, TargetNumber};
use crate::plugin::Plugin;

/// Everything that a target's deliveries depend on: a target with an equal recipe keeps its instance. Its
/// route is not part of it, because routing is over when a delivery begins. `Debug` shows no value.
#[derive(Clone, PartialEq)]
pub(super) struct Recipe {
    /// Hash of the plugin's file.
    plugin: String,
    /// With the values of the secrets that it names.
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
    pub(super) const fn has_digest(&self) -> bool {
        self.deliver.digest.is_some()
    }

    /// `settings` are those of the target, or of one of its recipients.
    pub(super) fn new(target: &TargetConfig, settings: &Value, plugin: &Plugin) -> Self {
        Self {
            plugin: plugin.hash().to_owned(),
            settings: settings.clone(),
            secrets: target.settings.secrets.clone(),
            allow: target.allow.clone(),
            deliver: target.deliver(TargetNumber(0), plugin.manifest().mode),
        }
    }

    /// For a target of that name and number.
    pub(super) fn deliver_settings(
        self,
        name: Arc<str>,
        number: TargetNumber,
    ) -> deliver::Settings {
        deliver::Settings { name, number, ..self.deliver }
    }
}

/// The recipe of a target of the store.
#[derive(Clone)]
pub(super) struct NamedRecipe {
    pub(super) name: Arc<str>,
    pub(super) recipe: Recipe,
}

/// Of the targets that can deliver.
pub(super) type Recipes = BTreeMap<TargetNumber, NamedRecipe>;

/// What a reload does with targets; each is named in one list at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) started: Vec<TargetNumber>,
    pub(super) replaced: Vec<TargetNumber>,
    pub(super) ended: Vec<TargetNumber>,
}

impl Changes {
    pub(super) fn between(old: &Recipes, new: &Recipes) -> Self {
        let mut changes = Self::default();
        for (number, NamedRecipe { recipe, .. }) in new {
            match old.get(number) {
                None => changes.started.push(*number),
                Some(before) if before.recipe != *recipe => changes.replaced.push(*number),
                Some(_) => {}
            }
        }
        changes.ended.extend(old.keys().filter(|number| !new.contains_key(number)));
        changes
    }

    /// Whether the target gets a new instance.
    pub(super) fn starts(&self, number: TargetNumber) -> bool {
        self.started.contains(&number) || self.replaced.contains(&number)
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
            let name = format!("target-{number}").into();
            (TargetNumber(*number), NamedRecipe { name, recipe: recipe.clone() })
        };
        all.iter().map(named).collect()
    }

    fn numbers(list: &[u16]) -> Vec<TargetNumber> {
        list.iter().copied().map(TargetNumber).collect()
    }

    #[test]
    fn a_target_is_replaced_when_anything_that_its_deliveries_depend_on_changes() {
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
            assert_eq!(changes.replaced, numbers(&[2]), "{what}");
            assert!(changes.started.is_empty() && changes.ended.is_empty(), "{what}");
        }
    }

    #[test]
    fn a_new_target_starts_and_a_removed_one_ends() {
        let old = recipes(&[(1, recipe()), (2, recipe()), (3, recipe())]);
        let mut other = recipe();
        other.settings = json!({});
        let new = recipes(&[(1, recipe()), (3, other), (4, recipe())]);
        let changes = Changes::between(&old, &new);
        assert_eq!(changes.started, numbers(&[4]));
        assert_eq!(changes.replaced, numbers(&[3]));
        assert_eq!(changes.ended, numbers(&[2]));
        let started: Vec<_> = (1..=4).filter(|n| changes.starts(TargetNumber(*n))).collect();
        assert_eq!(started, [3, 4]);
    }

    #[test]
    fn no_value_is_shown() {
        assert!(!format!("{:?}", recipe()).contains("swordfish"));
    }
}
