//! Reads settings, and finds every mistake in them, though serde stops at the first.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Invalid, Mistakes};

/// Most mistakes that are looked for.
const MISTAKES_MAX: usize = 32;
const MISSING: &str = "missing field `";
const UNKNOWN: &str = "unknown field `";
/// How serde's reason begins if an untagged enum has no such variant. It names the type in the plugin's code.
const NO_VARIANT: &str = "data did not match any variant of ";
const NONE_OF_ITS_FORMS: &str = "has none of the forms that the plugin's documentation shows";

/// The settings, and what is wrong with them. With mistakes, they are what could be read without the wrong values,
/// good for finding more.
pub(crate) fn read_settings<T: DeserializeOwned + JsonSchema>(json: &str) -> (Option<T>, Mistakes) {
    let mut mistakes = Mistakes::default();
    let mut value: Value = match serde_json::from_str(json) {
        Ok(value) => value,
        Err(error) => {
            mistakes.add(Invalid::new(error));
            return (None, mistakes);
        }
    };
    let whole = value.clone();
    let mut removed: Vec<String> = Vec::new();
    for _ in 0..MISTAKES_MAX {
        let invalid = match read(&value) {
            Ok(settings) => return (Some(settings), mistakes),
            Err(invalid) => invalid,
        };
        let missing = in_backticks(&invalid.reason, MISSING).map(|key| below(&invalid.path, key));
        if missing.is_some() && invalid.path.is_empty() {
            add_missing::<T>(&whole, invalid, &removed, &mut mistakes);
            return (None, mistakes);
        }
        let wrong = wrong_key(&invalid);
        if missing.is_none_or(|key| !removed.contains(&key)) {
            mistakes.add(invalid);
        }
        if !remove(&mut value, &wrong) {
            return (None, mistakes);
        }
        removed.push(wrong);
    }
    (None, mistakes)
}

fn read<T: DeserializeOwned>(value: &Value) -> Result<T, Invalid> {
    // From text, because a value has other messages.
    let text = value.to_string();
    let mut json = serde_json::Deserializer::from_str(&text);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." { String::new() } else { path };
        // Line and column are useless here: they refer to the JSON, not to the configuration.
        let text = error.inner().to_string();
        let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
        Invalid::at(path, if text.starts_with(NO_VARIANT) { NONE_OF_ITS_FORMS } else { text })
    })
}

/// All required keys that are missing: serde names only the first.
fn add_missing<T: JsonSchema>(
    whole: &Value,
    first: Invalid,
    removed: &[String],
    mistakes: &mut Mistakes,
) {
    let schema = schemars::schema_for!(T);
    let required = schema.get("required").and_then(Value::as_array);
    let keys = required.into_iter().flatten().filter_map(Value::as_str);
    let missing: Vec<&str> = keys.filter(|key| whole.get(key).is_none()).collect();
    let known = in_backticks(&first.reason, MISSING)
        .is_some_and(|key| missing.contains(&key) || removed.iter().any(|known| known == key));
    if !known {
        mistakes.add(first);
    }
    for key in missing {
        mistakes.add(Invalid::new(format_args!("{MISSING}{key}`")));
    }
}

fn in_backticks<'t>(reason: &'t str, start: &str) -> Option<&'t str> {
    reason.strip_prefix(start)?.split('`').next()
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The key whose value is to be left out: a list as a whole, because the places in it would change.
fn wrong_key(invalid: &Invalid) -> String {
    let path = match in_backticks(&invalid.reason, UNKNOWN) {
        Some(key) if invalid.path.rsplit('.').next() != Some(key) => below(&invalid.path, key),
        _ => invalid.path.clone(),
    };
    path.split('[').next().unwrap_or_default().to_owned()
}

fn remove(value: &mut Value, path: &str) -> bool {
    let (above, key) = path.rsplit_once('.').unwrap_or(("", path));
    let mut above = above.split('.').filter(|key| !key.is_empty());
    let object = above.try_fold(value, |value, key| value.get_mut(key));
    object.and_then(Value::as_object_mut).is_some_and(|object| object.remove(key).is_some())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;
    use crate::HttpUrl;

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether they can be read matters")]
    struct Settings {
        url: HttpUrl,
        name: String,
        #[serde(default)]
        list: Vec<u8>,
        #[serde(default)]
        nested: Option<Nested>,
        #[serde(default)]
        map: BTreeMap<String, u8>,
        #[serde(default)]
        size: Option<Size>,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(untagged)]
    #[expect(dead_code, reason = "only whether they can be read matters")]
    enum Size {
        Number(u8),
        Word(String),
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether they can be read matters")]
    struct Nested {
        size: u8,
        keep: u8,
    }

    #[test]
    fn every_mistake_is_found_in_one_go() {
        for (json, usable, expected) in [
            (r#"{"url": "http://a", "name": "b"}"#, true, vec![]),
            ("{}", false, vec!["missing field `url`", "missing field `name`"]),
            (
                r#"{"url": 7, "colour": 1}"#,
                false,
                vec!["url: invalid", "colour: unknown", "missing field `name`"],
            ),
            (
                r#"{"url": "http://a", "name": "b", "list": [1, 300, 400], "x": 1}"#,
                true,
                vec!["list[1]: invalid", "x: unknown"],
            ),
            (
                r#"{"url": "ftp", "name": "b", "nested": {"size": "x", "sise": 1}, "map": {"a": -1}}"#,
                false,
                vec![
                    "url: an address",
                    "nested.size: invalid",
                    "nested.sise: unknown",
                    "map.a: invalid",
                ],
            ),
            (
                r#"{"url": "http://a", "name": "b", "size": []}"#,
                true,
                vec!["size: has none of the forms that the plugin's documentation shows"],
            ),
            ("[]", false, vec!["invalid"]),
        ] {
            let (settings, mistakes) = read_settings::<Settings>(json);
            assert_eq!(settings.is_some(), usable, "{json}: {mistakes:?}");
            let shown = match mistakes.finish(Some(())) {
                Ok(()) => String::new(),
                Err(invalid) => invalid.to_string(),
            };
            for part in &expected {
                assert!(shown.contains(part), "{json}: {part} is not in {shown}");
            }
            let count = if shown.is_empty() { 0 } else { shown.split("; ").count() };
            assert_eq!(count, expected.len(), "{json}: {shown}");
        }
    }
}
