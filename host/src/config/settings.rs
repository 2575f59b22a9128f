//! `settings.*` of a target: converted to JSON for its plugin, with references resolved, and with the place of
//! every value, so that the plugin's complaint about a setting is shown at its line.
//!
//! Dates become strings as written. A text that only looks like a reference is written `literal:…`. The parser
//! bounds the depth, and the size of the file bounds the size.

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
    /// An object in which references are replaced by their values.
    pub json: Value,
    /// The values of references. They are masked in everything that the plugin returns.
    pub secrets: Vec<Secret>,
    /// A value is missing, such as a disabled target's secret that is not set yet.
    pub incomplete: bool,
    /// Where the missing values are, as a plugin names it.
    pub(super) absent: Vec<String>,
    /// The references of a disabled target that have no value yet, and why: one line each.
    pub missing: Vec<String>,
    /// Where each value is in the file, by its path as a plugin names it: `to[1]`, `proxy.port`, empty for the
    /// settings as a whole.
    pub(super) places: BTreeMap<String, Written>,
}

/// Where a setting is in the file and how it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) key: Range<usize>,
    pub(super) span: Range<usize>,
    /// A string that is not a reference.
    pub(super) plain: bool,
}

impl fmt::Debug for PluginSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginSettings").field("keys", &self.places.keys()).finish_non_exhaustive()
    }
}

impl PluginSettings {
    /// The place of the value at `path`. If it is missing, the key of the innermost table or list around it.
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

    /// The settings with a text in place of each value that is missing, so that a plugin can find what else is
    /// wrong. `None` if nothing can stand for them.
    #[must_use]
    pub fn with_placeholders(&self) -> Option<Value> {
        let mut json = self.json.clone();
        for path in &self.absent {
            *json.pointer_mut(&pointer(path))? = Value::from(PLACEHOLDER);
        }
        (json.is_object() && !self.absent.is_empty()).then_some(json)
    }

    /// Whether the value at `path`, or a part of it, is missing.
    #[must_use]
    pub fn is_absent(&self, path: &str) -> bool {
        let within = |rest: &str| rest.is_empty() || rest.starts_with(['.', '[']);
        self.absent.iter().any(|absent| {
            absent.strip_prefix(path).is_some_and(within) && !path.is_empty()
                || path.strip_prefix(absent.as_str()).is_some_and(within)
        })
    }

    /// Addresses among the settings, by the plugin's schema.
    pub(super) fn addresses(&self, schema: &Value) -> Vec<(&str, &str)> {
        self.marked(ADDRESS, schema)
    }

    /// Plain strings that the plugin's schema marks as `writeOnly`, which means secret.
    pub(super) fn open_secrets(&self, schema: &Value) -> Vec<(&str, Range<usize>)> {
        let plain = self.places.iter().filter(|(_, written)| written.plain);
        let secret = plain.filter(|(path, _)| has_mark(SECRET, schema, schema, path));
        secret.map(|(path, written)| (path.as_str(), written.span.clone())).collect()
    }

    /// Settings that the plugin's schema marks as paths, and their texts.
    pub(super) fn paths(&self, schema: &Value) -> Vec<(&str, &str)> {
        self.marked(PATH, schema)
    }

    pub(super) fn is_regular_file(&self, schema: &Value, path: &str) -> bool {
        has_mark(REGULAR_FILE, schema, schema, path)
    }

    fn marked(&self, mark: Mark, schema: &Value) -> Vec<(&str, &str)> {
        let marked = self.places.keys().filter(|path| has_mark(mark, schema, schema, path));
        let text = |path: &str| self.json.pointer(&pointer(path)).and_then(Value::as_str);
        marked.filter_map(|path| Some((path.as_str(), text(path)?))).collect()
    }
}

/// A key of a schema and the value that marks a setting.
type Mark = (&'static str, &'static str);
/// The setting is a secret.
const SECRET: Mark = ("writeOnly", "true");
/// The setting is a file or folder that only this target may use.
const PATH: Mark = ("format", "path");
/// The path is that of a regular file.
const REGULAR_FILE: Mark = ("x-file", "regular");
/// The setting is the address of a server.
const ADDRESS: Mark = ("format", "uri");
/// Stands for a value that is missing.
const PLACEHOLDER: &str = "placeholder";

/// `to[1].x` as a JSON pointer.
fn pointer(path: &str) -> String {
    format!("/{}", path.replace(['.', '['], "/").replace(']', ""))
}

/// Whether the schema at `path` has the mark. One of several alternatives is enough.
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

/// Reads the value of `settings`. A value with a problem becomes `null`. `required`: a reference without a value
/// is a problem.
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
            // Notes the wrong type.
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
    /// A reference without a value is a problem.
    required: bool,
    notes: &'r Notes,
    settings: PluginSettings,
}

impl Reading<'_> {
    /// The value at `path`, as a plugin names it.
    fn value(&mut self, entry: &Entry<'_>, path: &str) -> Value {
        let mut plain = false;
        let was_incomplete = std::mem::take(&mut self.settings.incomplete);
        let value = match entry.value {
            DeValue::String(text) => {
                plain = Reference::parse(text).is_none();
                self.text(entry, text)
            }
            DeValue::Integer(digits) => {
                let value = i128::from_str_radix(digits.as_str(), digits.radix()).ok();
                let value = value.and_then(|value| i64::try_from(value).ok());
                value.map_or_else(|| self.refuse(entry, "does not fit into 64 bits"), Value::from)
            }
            DeValue::Float(digits) => {
                let value = digits.as_str().parse().ok().and_then(Number::from_f64);
                value.map_or_else(|| self.refuse(entry, "is not a finite number"), Value::Number)
            }
            DeValue::Boolean(value) => Value::Bool(*value),
            DeValue::Datetime(value) => Value::String(value.to_string()),
            DeValue::Array(_) | DeValue::Table(_) => self.inner(entry, path),
        };
        if self.settings.incomplete && !(value.is_array() || value.is_object()) {
            self.settings.absent.push(path.to_owned());
        }
        self.settings.incomplete |= was_incomplete;
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
                let title = format!("`${{{name}}}` is not expanded in `{}`", entry.path);
                let whole = whole_dollar_name(text).is_some();
                let label =
                    if whole { &format!("write \"env:{name}\"") } else { "write the value itself" };
                let help =
                    "a reference must be the whole value; write \"literal:…\" for a text with `${`";
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
                    let title = format!("`{}` {}", entry.path, unresolved.problem);
                    entry.refuse(self.notes, &title, &unresolved.label, &unresolved.help);
                } else {
                    let Unresolved { problem, help, .. } = unresolved;
                    self.settings.missing.push(format!("{} {problem}: {help}", entry.path));
                }
                self.settings.incomplete = true;
                Value::Null
            }
        }
    }

    fn refuse(&mut self, entry: &Entry<'_>, why: &str) -> Value {
        let title = format!("`{}` {why}", entry.path);
        entry.refuse(self.notes, &title, "write another number, or a string", "");
        self.settings.incomplete = true;
        Value::Null
    }
}

/// Masks a `literal:` value and warns about it.
pub(super) fn warn_of_literal(entry: &Entry<'_>, notes: &Notes) {
    let problem = Problem::warning(format!("`{}` is a secret in plain text", entry.path))
        .at(entry.span.clone(), "anyone who can read this file knows the secret")
        .help("move it to dispatcher.env and write \"env:NAME\" here");
    notes.mask(inside(&entry.span));
    notes.add(problem);
}

/// The span of a string without its quotes.
pub(super) fn inside(span: &Range<usize>) -> Range<usize> {
    span.start + 1..span.end.saturating_sub(1).max(span.start + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_schema_marks_which_settings_are_secrets() {
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
