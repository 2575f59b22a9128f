//! `settings.*` of a target: kept as JSON for its plugin, references resolved, and the place of every
//! value remembered, so that what the plugin says of a setting is shown at its line.
//!
//! Dates become strings as they are written. A text with a reference's prefix that is meant as it stands is
//! written `literal:…`. Depth is bounded by the parser, size by the file's.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde_json::{Map, Number, Value};
use toml::de::DeValue;

use super::problem::Problem;
use super::reader::{Entry, Notes, dollar_name, whole_dollar_name};
use super::reference::{Reference, Resolver, Unresolved};
use crate::model::Secret;

/// What a target's plugin is made from. `Debug` shows no value.
#[derive(Clone, Default)]
pub struct PluginSettings {
    /// An object; references are replaced by what they name.
    pub json: Value,
    /// What references resolved to: masked in everything that comes back from the plugin.
    pub secrets: Vec<Secret>,
    /// Some value is not there, such as a disabled target's secret that is not set yet.
    pub incomplete: bool,
    /// Which references of a disabled target name nothing yet, and why: one line each.
    pub missing: Vec<String>,
    /// By path as a plugin names it (`to[1]`, `proxy.port`; empty for the whole): where the value stands.
    pub(super) places: BTreeMap<String, Written>,
}

/// Where a setting stands and how it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) key: Range<usize>,
    pub(super) span: Range<usize>,
    /// A string that is no reference.
    pub(super) plain: bool,
}

impl fmt::Debug for PluginSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginSettings").field("keys", &self.places.keys()).finish_non_exhaustive()
    }
}

impl PluginSettings {
    /// Where the setting of that path stands, or the longest part of the path that is in the file: a
    /// value that is there by its own place, else by the key of what it is missing from.
    pub(super) fn place(&self, path: &str) -> Range<usize> {
        let mut known = path;
        loop {
            match self.places.get(known) {
                Some(written) if known == path => return written.span.clone(),
                Some(written) => return written.key.clone(),
                None if known.is_empty() => return 0..0,
                None => known = &known[..known.rfind(['.', '[']).unwrap_or(0)],
            }
        }
    }

    /// Plain strings that the plugin's schema marks as `writeOnly`, which means secret.
    pub(super) fn open_secrets(&self, schema: &Value) -> Vec<(&str, Range<usize>)> {
        let plain = self.places.iter().filter(|(_, written)| written.plain);
        let secret = plain.filter(|(path, _)| has_mark(SECRET, schema, schema, path));
        secret.map(|(path, written)| (path.as_str(), written.span.clone())).collect()
    }

    /// Settings that the plugin's schema marks as paths, and their texts.
    pub(super) fn paths(&self, schema: &Value) -> Vec<(&str, &str)> {
        let marked = self.places.keys().filter(|path| has_mark(PATH, schema, schema, path));
        let text = |path: &str| self.json.pointer(&pointer(path)).and_then(Value::as_str);
        marked.filter_map(|path| Some((path.as_str(), text(path)?))).collect()
    }
}

/// What a schema says of a value: a key and its value.
type Mark = (&'static str, &'static str);
/// The value is a secret.
const SECRET: Mark = ("writeOnly", "true");
/// The value is a file or folder of the target alone.
const PATH: Mark = ("format", "path");

/// `to[1].x` as a JSON pointer.
fn pointer(path: &str) -> String {
    format!("/{}", path.replace(['.', '['], "/").replace(']', ""))
}

/// Whether the schema at `path` has the mark. Of alternatives one is enough.
fn has_mark(mark: Mark, root: &Value, schema: &Value, path: &str) -> bool {
    let schema = match schema.get("$ref").and_then(Value::as_str) {
        Some(place) => place.strip_prefix('#').and_then(|at| root.pointer(at)).unwrap_or(schema),
        None => schema,
    };
    let own = |schema: &Value| match path.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((_, rest)) => {
            schema.get("items").is_some_and(|items| has_mark(mark, root, items, step(rest)))
        }
        None if path.is_empty() => match schema.get(mark.0) {
            Some(Value::Bool(value)) => value.to_string() == mark.1,
            value => value.and_then(Value::as_str) == Some(mark.1),
        },
        None => {
            let end = path.find(['.', '[']).unwrap_or(path.len());
            let property = schema.get("properties").and_then(|all| all.get(&path[..end]));
            property.is_some_and(|property| has_mark(mark, root, property, step(&path[end..])))
        }
    };
    let alternatives =
        ["anyOf", "oneOf", "allOf"].iter().filter_map(|word| schema.get(word)?.as_array());
    own(schema) || alternatives.flatten().any(|schema| has_mark(mark, root, schema, path))
}

fn step(path: &str) -> &str {
    path.strip_prefix('.').unwrap_or(path)
}

/// Reads the value of `settings`; noted problems leave `null` behind.
pub(super) fn read(
    entry: Option<&Entry<'_>>,
    place: &Range<usize>,
    required: bool,
    resolver: &Resolver<'_>,
    notes: &Notes,
) -> PluginSettings {
    let mut reading = Reading { resolver, required, notes, settings: PluginSettings::default() };
    let whole = entry.map_or(place, |entry| &entry.key);
    let written = Written { key: whole.clone(), span: whole.clone(), plain: false };
    reading.settings.places.insert(String::new(), written);
    reading.settings.json = match entry {
        Some(entry) if matches!(entry.value, DeValue::Table(_)) => reading.inner(entry, ""),
        Some(entry) => {
            // Notes that it is no table.
            entry.table(notes);
            reading.settings.incomplete = true;
            Value::Null
        }
        None => Value::Object(Map::new()),
    };
    reading.settings
}

struct Reading<'r> {
    resolver: &'r Resolver<'r>,
    /// Whether a reference without a value is a problem.
    required: bool,
    notes: &'r Notes,
    settings: PluginSettings,
}

impl Reading<'_> {
    /// The value at `path` (as a plugin names it).
    fn value(&mut self, entry: &Entry<'_>, path: &str) -> Value {
        let mut plain = false;
        let value = match entry.value {
            DeValue::String(text) => {
                plain = Reference::parse(text).is_none();
                self.text(entry, text)
            }
            DeValue::Integer(digits) => {
                let value = i128::from_str_radix(digits.as_str(), digits.radix()).ok();
                let value = value.and_then(|value| i64::try_from(value).ok());
                value.map_or_else(|| self.refuse(entry, "has more than 64 bits"), Value::from)
            }
            DeValue::Float(digits) => {
                let value = digits.as_str().parse().ok().and_then(Number::from_f64);
                value.map_or_else(|| self.refuse(entry, "cannot be passed on"), Value::Number)
            }
            DeValue::Boolean(value) => Value::Bool(*value),
            DeValue::Datetime(value) => Value::String(value.to_string()),
            DeValue::Array(_) | DeValue::Table(_) => self.inner(entry, path),
        };
        let written = Written { key: entry.key.clone(), span: entry.span.clone(), plain };
        self.settings.places.insert(path.to_owned(), written);
        value
    }

    fn inner(&mut self, entry: &Entry<'_>, path: &str) -> Value {
        if let DeValue::Array(_) = entry.value {
            let items = entry.items(self.notes).into_iter().enumerate();
            return items.map(|(i, item)| self.value(&item, &format!("{path}[{i}]"))).collect();
        }
        let entries = entry.table(self.notes).map(|table| table.all()).unwrap_or_default();
        let entries = entries.into_iter().map(|(key, entry)| {
            let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            (key.to_owned(), self.value(&entry, &path))
        });
        Value::Object(entries.collect())
    }

    fn text(&mut self, entry: &Entry<'_>, text: &str) -> Value {
        let Some(reference) = Reference::parse(text) else {
            if let Some(name) = dollar_name(text) {
                let title = format!("`${{{name}}}` is not replaced in `{}`", entry.path);
                let whole = whole_dollar_name(text).is_some();
                let label =
                    if whole { &format!("write \"env:{name}\"") } else { "write the value itself" };
                let help = "a reference is the whole value; a text that is meant as it stands begins with literal:";
                entry.refuse(self.notes, &title, label, help);
                self.settings.incomplete = true;
            }
            return Value::String(text.to_owned());
        };
        if let Reference::Literal(_) = reference {
            warn_of_literal(entry, self.notes);
        }
        if self.resolver.skips(reference, &entry.path, self.notes) {
            self.settings.incomplete = true;
            return Value::Null;
        }
        match self.resolver.resolve(reference) {
            Ok(secret) => {
                let value = Value::String(secret.expose().to_owned());
                self.settings.secrets.push(secret);
                value
            }
            Err(unresolved) => {
                if self.required {
                    let title = format!("`{}` {}", entry.path, unresolved.what);
                    entry.refuse(self.notes, &title, &unresolved.label, &unresolved.help);
                } else {
                    let Unresolved { what, help, .. } = unresolved;
                    self.settings.missing.push(format!("{} {what}: {help}", entry.path));
                }
                self.settings.incomplete = true;
                Value::Null
            }
        }
    }

    fn refuse(&mut self, entry: &Entry<'_>, why: &str) -> Value {
        let title = format!("the number of `{}` {why}", entry.path);
        entry.refuse(self.notes, &title, "write a smaller one, or a string", "");
        self.settings.incomplete = true;
        Value::Null
    }
}

/// Hides a `literal:` value and says that it would be better elsewhere.
pub(super) fn warn_of_literal(entry: &Entry<'_>, notes: &Notes) {
    let problem = Problem::warning(format!("`{}` holds a secret in plain text", entry.path))
        .at(entry.span.clone(), "whoever reads this file knows it")
        .help("put it into dispatcher.env and write \"env:NAME\" here");
    notes.mask(inside(&entry.span));
    notes.add(problem);
}

/// A string's span without its quotes.
pub(super) fn inside(span: &Range<usize>) -> Range<usize> {
    span.start + 1..span.end.saturating_sub(1).max(span.start + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_schema_tells_which_settings_are_secrets() {
        let schema = json!({
            "properties": {
                "token": { "$ref": "#/$defs/Secret" },
                "maybe": { "anyOf": [{ "$ref": "#/$defs/Secret" }, { "type": "null" }] },
                "list": { "items": { "$ref": "#/$defs/Secret" } },
                "inner": { "properties": { "key": { "writeOnly": true } } },
                "url": { "type": "string" },
            },
            "$defs": { "Secret": { "type": "string", "writeOnly": true } },
        });
        for (path, secret) in [
            ("token", true),
            ("maybe", true),
            ("list[3]", true),
            ("inner.key", true),
            ("inner", false),
            ("url", false),
            ("other", false),
            ("", false),
        ] {
            assert_eq!(has_mark(SECRET, &schema, &schema, path), secret, "{path}");
        }
    }
}
