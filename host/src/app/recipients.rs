//! The recipients of a target: one for each value of the setting that its plugin fans out, each with an
//! instance and deliveries of its own, so that one that fails never sends again to the others.
//!
//! The plugin gets the whole list first: it sees duplicates and a list that is too long, and what it says of
//! a place in the list fits the file. The instance of a recipient gets a list of one value.

use std::sync::Arc;

use serde_json::Value;

use crate::config::TargetConfig;
use crate::plugin::{Instance, Invalid, Plugin, TargetContext};

/// Longest value that may become part of a target's name, in bytes.
const VALUE_BYTES_MAX: usize = 128;

/// What a plugin made of a target.
pub(super) struct Instances {
    /// With all of its values.
    pub(super) whole: Instance,
    /// One for each value; empty if nothing is fanned out.
    pub(super) recipients: Vec<Recipient>,
}

pub(super) struct Recipient {
    /// `TARGET/VALUE`.
    pub(super) name: Arc<str>,
    /// As text.
    pub(super) value: String,
    /// Those of the target, with this value alone.
    pub(super) settings: Value,
    pub(super) instance: Instance,
}

/// Makes all instances of a target; opens nothing.
///
/// # Errors
/// The plugin refuses the settings, or a value cannot be a name. Paths are those of the file.
pub(super) fn make(
    plugin: &Plugin,
    target: &TargetConfig,
    services: &TargetContext,
) -> Result<Instances, Invalid> {
    let settings = &target.settings.json;
    let whole = plugin.create(&target.name, settings, services)?;
    let Some(key) = &plugin.manifest().fan_out else {
        return Ok(Instances { whole, recipients: Vec::new() });
    };
    let mut recipients: Vec<Recipient> = Vec::new();
    for (path, value) in values(settings, key) {
        let text = text(value);
        let name = name(&target.name, &text).map_err(|reason| Invalid::at(path.clone(), reason))?;
        if recipients.iter().any(|recipient| recipient.name == name) {
            continue;
        }
        let settings = with_one(settings, key, value);
        let instance = plugin.create(&name, &settings, services).map_err(|invalid| {
            let all = invalid.all().into_iter();
            let mut all = all.map(|one| Invalid::at(placed(&one.path, key, &path), one.reason));
            let first = all.next().unwrap_or_else(|| Invalid::at(path.clone(), ""));
            Invalid { further: all.collect(), ..first }
        })?;
        recipients.push(Recipient { name, value: text, settings, instance });
    }
    Ok(Instances { whole, recipients })
}

/// What the plugin says of settings that are not complete: all but what concerns the values that are missing.
pub(super) fn complaints(
    plugin: &Plugin,
    target: &TargetConfig,
    services: &TargetContext,
) -> Vec<Invalid> {
    let Some(settings) = target.settings.with_placeholders() else { return Vec::new() };
    let refused = plugin.create(&target.name, &settings, services).err();
    let all = refused.into_iter().flat_map(Invalid::all);
    all.filter(|invalid| !target.settings.is_absent(&invalid.path)).collect()
}

/// All settings that [`make`] gives to the plugin: those of the target, and of each recipient.
pub(super) fn all_settings(plugin: &Plugin, target: &TargetConfig) -> Vec<Value> {
    let whole = &target.settings.json;
    let key = plugin.manifest().fan_out.as_ref();
    let each = key.into_iter().flat_map(|key| {
        values(whole, key).into_iter().map(move |(_, value)| with_one(whole, key, value))
    });
    std::iter::once(whole.clone()).chain(each).collect()
}

/// The values with their paths: those of a list, or a single value.
fn values<'s>(settings: &'s Value, key: &str) -> Vec<(String, &'s Value)> {
    match settings.get(key) {
        Some(Value::Array(list)) => {
            let list = list.iter().enumerate();
            list.map(|(place, value)| (format!("{key}[{place}]"), value)).collect()
        }
        Some(Value::Null) | None => Vec::new(),
        Some(value) => vec![(key.to_owned(), value)],
    }
}

/// The settings with a list of one value.
fn with_one(settings: &Value, key: &str, value: &Value) -> Value {
    let mut settings = settings.clone();
    settings[key] = Value::Array(vec![value.clone()]);
    settings
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// `oncall-sms/+33612345678`.
fn name(target: &str, text: &str) -> Result<Arc<str>, String> {
    if text.is_empty() || text.len() > VALUE_BYTES_MAX {
        return Err(format!(
            "has {} bytes: each value is part of a name, and must have 1 to {VALUE_BYTES_MAX}",
            text.len()
        ));
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(
            "must not have white space or control characters, because it is part of a name"
                .to_owned(),
        );
    }
    Ok(format!("{target}/{text}").into())
}

/// What a recipient's instance calls `key[0]` is `path` in the file.
fn placed(invalid: &str, key: &str, path: &str) -> String {
    let rest = invalid.strip_prefix(&format!("{key}[0]")).or_else(|| invalid.strip_prefix(key));
    rest.map_or_else(|| invalid.to_owned(), |rest| format!("{path}{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_value_has_its_path_and_a_readable_name() {
        let list = json!({ "to": ["+1", "+2"], "one": "+3", "none": [] });
        let paths = |key| values(&list, key).into_iter().map(|(p, _)| p).collect::<Vec<_>>();
        assert_eq!(paths("to"), ["to[0]", "to[1]"]);
        assert_eq!(paths("one"), ["one"]);
        assert!(paths("none").is_empty() && paths("missing").is_empty());
        assert_eq!(&*name("sms", &text(&json!("+1"))).unwrap(), "sms/+1");
        assert_eq!(&*name("sms", &text(&json!(7))).unwrap(), "sms/7");
    }

    #[test]
    fn a_recipient_gets_the_settings_with_its_value_alone() {
        let settings = json!({ "to": ["a", "b"], "k": 1 });
        let all: Vec<_> = values(&settings, "to").into_iter().map(|(_, value)| value).collect();
        assert_eq!(all.iter().map(|value| text(value)).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(with_one(&settings, "to", all[1]), json!({ "to": ["b"], "k": 1 }));
        assert_eq!(with_one(&json!({ "to": "a" }), "to", all[0]), json!({ "to": ["a"] }));
    }

    #[test]
    fn a_value_that_cannot_be_a_name_is_refused_with_the_reason() {
        let long = "x".repeat(VALUE_BYTES_MAX + 1);
        for (value, part) in [(long.as_str(), "129 bytes"), ("", "0 bytes"), ("a b", "white space")]
        {
            let reason = name("sms", value).unwrap_err();
            assert!(reason.contains(part), "{reason}");
        }
    }

    #[test]
    fn a_problem_of_a_recipient_is_shown_at_its_value_in_the_file() {
        for (path, shown) in [
            ("to[0]", "to[2]"),
            ("to", "to[2]"),
            ("to[0].x", "to[2].x"),
            ("from", "from"),
            ("", ""),
        ] {
            assert_eq!(placed(path, "to", "to[2]"), shown);
        }
    }
}
