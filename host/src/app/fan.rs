//! From a configured target to the targets of the store: one, or one for each value of the setting
//! that its plugin has fanned out, so that a value that fails never sends again to the others.
//!
//! The plugin is shown the whole list first: what is doubled or too many is seen there, and a place in
//! the list is one of the file. Each value's own instance gets a list of that one value.

use std::sync::Arc;

use serde_json::Value;

use crate::config::TargetConfig;
use crate::plugin::{Instance, Invalid, Plugin, TargetContext};

/// Longest value that may become part of a target's name, in bytes.
const VALUE_BYTES_MAX: usize = 128;

/// What a plugin made of a target.
pub(super) struct Made {
    /// With all of its values.
    pub(super) whole: Instance,
    /// One for each value; empty where nothing is fanned out.
    pub(super) shares: Vec<Share>,
}

/// What delivers to one value.
pub(super) struct Share {
    pub(super) name: Arc<str>,
    /// Those of the target, with this value alone.
    pub(super) settings: Value,
    pub(super) instance: Instance,
}

/// Makes all instances of a target; opens nothing.
///
/// # Errors
/// The plugin refuses the settings, or a value is no name. Paths are those of the file.
pub(super) fn make(
    plugin: &Plugin,
    target: &TargetConfig,
    services: &TargetContext,
) -> Result<Made, Invalid> {
    let settings = &target.settings.json;
    let whole = plugin.create(&target.name, settings, services)?;
    let Some(key) = &plugin.manifest().fan_out else {
        return Ok(Made { whole, shares: Vec::new() });
    };
    let mut shares: Vec<Share> = Vec::new();
    for (path, value) in values(settings, key) {
        let name =
            name(&target.name, value).map_err(|reason| Invalid { path: path.clone(), reason })?;
        if shares.iter().any(|share| share.name == name) {
            continue;
        }
        let mut own = settings.clone();
        own[key.as_str()] = Value::Array(vec![value.clone()]);
        let instance = plugin
            .create(&name, &own, services)
            .map_err(|invalid| Invalid { path: placed(&invalid.path, key, &path), ..invalid })?;
        shares.push(Share { name, settings: own, instance });
    }
    Ok(Made { whole, shares })
}

/// The values with their paths: those of a list, or the one that stands there alone.
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

/// `oncall-sms/+33612345678`.
fn name(target: &str, value: &Value) -> Result<Arc<str>, String> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if text.is_empty() || text.len() > VALUE_BYTES_MAX {
        return Err(format!(
            "has {} bytes: each value names deliveries of its own, and a name takes 1 to {VALUE_BYTES_MAX}",
            text.len()
        ));
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("holds white space or a control character, and cannot be a name".to_owned());
    }
    Ok(format!("{target}/{text}").into())
}

/// What a share's instance says of `key[0]` is about `path` in the file.
fn placed(said: &str, key: &str, path: &str) -> String {
    let rest = said.strip_prefix(&format!("{key}[0]")).or_else(|| said.strip_prefix(key));
    rest.map_or_else(|| said.to_owned(), |rest| format!("{path}{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_value_has_its_path_and_a_name_that_can_be_read() {
        let list = json!({ "to": ["+1", "+2"], "one": "+3", "none": [] });
        let paths = |key| values(&list, key).into_iter().map(|(p, _)| p).collect::<Vec<_>>();
        assert_eq!(paths("to"), ["to[0]", "to[1]"]);
        assert_eq!(paths("one"), ["one"]);
        assert!(paths("none").is_empty() && paths("missing").is_empty());
        assert_eq!(&*name("sms", &json!("+1")).unwrap(), "sms/+1");
        assert_eq!(&*name("sms", &json!(7)).unwrap(), "sms/7");
    }

    #[test]
    fn a_value_that_is_no_name_is_refused_and_says_why() {
        let long = "x".repeat(VALUE_BYTES_MAX + 1);
        for (value, said) in
            [(json!(long), "129 bytes"), (json!(""), "0 bytes"), (json!("a b"), "white space")]
        {
            let reason = name("sms", &value).unwrap_err();
            assert!(reason.contains(said), "{reason}");
        }
    }

    #[test]
    fn what_a_share_says_is_shown_at_the_value_of_the_file() {
        for (said, shown) in [
            ("to[0]", "to[2]"),
            ("to", "to[2]"),
            ("to[0].x", "to[2].x"),
            ("from", "from"),
            ("", ""),
        ] {
            assert_eq!(placed(said, "to", "to[2]"), shown);
        }
    }
}
