//! A plugin's settings as a table, from the JSON Schema in its manifest.
//!
//! Unknown parts of a schema are left out, never guessed. A schema may refer to itself, so depth and length
//! are bounded.

use std::path::Path;

use serde_json::{Map, Value};

use crate::model::printable;
use crate::plugin::Manifest;

/// Deepest setting within settings that is shown.
const DEPTH_MAX: usize = 6;
/// Most rows.
const ROWS_MAX: usize = 200;
/// Longest text of one cell, in characters.
const CELL_CHARS_MAX: usize = 120;

/// The plugin, then one row for each setting.
pub(super) fn render(manifest: &Manifest, file: &Path) -> String {
    let Manifest { name, version, api, mode, description, fan_out, schema } = manifest;
    let mut lines = vec![format!("name       {name}"), format!("version    {version}")];
    lines.push(format!("takes      {}", super::takes(*mode)));
    lines.push(format!("interface  {api}"));
    lines.push(format!("file       {}", file.display()));
    lines.extend(description.iter().map(|text| format!("about      {text}")));
    lines.extend(fan_out.iter().map(|key| format!("delivers   once for each value of `{key}`")));
    let mut lines: Vec<String> = lines.iter().map(|line| printable(line)).collect();
    let mut rows = Vec::new();
    Settings { root: schema, rows: &mut rows }.add(schema, "settings", DEPTH_MAX);
    lines.push(String::new());
    if rows.is_empty() {
        lines.push("no settings".to_owned());
    } else {
        rows.insert(0, ["SETTING", "VALUE", "DEFAULT", "MEANING"].map(str::to_owned));
        lines.extend(table(&rows));
    }
    lines.join("\n")
}

fn table(rows: &[[String; 4]]) -> Vec<String> {
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let [setting, value, default] = [0, 1, 2].map(width);
    let line =
        |[a, b, c, d]: &[String; 4]| format!("{a:<setting$}  {b:<value$}  {c:<default$}  {d}");
    rows.iter().map(|row| line(row).trim_end().to_owned()).collect()
}

struct Settings<'a> {
    root: &'a Value,
    rows: &'a mut Vec<[String; 4]>,
}

impl Settings<'_> {
    /// Adds a row for each property of an object's schema, in its order.
    fn add(&mut self, schema: &Value, path: &str, depth: usize) {
        let schema = resolve(self.root, schema);
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
        let is_required = |key: &str| {
            let list = schema.get("required").and_then(Value::as_array);
            list.is_some_and(|list| list.iter().any(|name| name == key))
        };
        for (key, property) in properties {
            if self.rows.len() == ROWS_MAX || depth == 0 {
                return;
            }
            let path = format!("{path}.{key}");
            let inner = resolve(self.root, property);
            if inner.get("properties").is_some() {
                self.add(inner, &path, depth - 1);
                continue;
            }
            let default = match property.get("default").or_else(|| inner.get("default")) {
                _ if is_required(key) => "required".to_owned(),
                Some(Value::Null) | None => "-".to_owned(),
                Some(default) => default.to_string(),
            };
            let meaning =
                ["description", "title"].iter().find_map(|word| property.get(word)?.as_str());
            let row = [path, kind(self.root, property, depth), default, first_sentence(meaning)];
            self.rows.push(row.map(|text| cell(&text)));
        }
    }
}

/// Follows one reference within the schema.
fn resolve<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    let place = schema.get("$ref").and_then(Value::as_str).and_then(|at| at.strip_prefix('#'));
    place.and_then(|at| root.pointer(at)).unwrap_or(schema)
}

/// Which values are allowed, in a few words.
fn kind(root: &Value, schema: &Value, depth: usize) -> String {
    let schema = resolve(root, schema);
    if depth == 0 {
        return "any".to_owned();
    }
    if schema.get("writeOnly") == Some(&Value::Bool(true)) {
        return "secret (a reference)".to_owned();
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values.iter().map(Value::to_string).collect::<Vec<_>>().join(" or ");
    }
    if let Some(value) = schema.get("const") {
        return value.to_string();
    }
    let alternatives = ["anyOf", "oneOf"].iter().find_map(|word| schema.get(word)?.as_array());
    if let Some(alternatives) = alternatives {
        let words = alternatives.iter().map(|one| kind(root, one, depth - 1));
        return words.filter(|word| word != "nothing").collect::<Vec<_>>().join(" or ");
    }
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(word)) => vec![word],
        Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect(),
        _ => return "any".to_owned(),
    };
    let object = schema.as_object();
    let words = types.iter().filter(|word| **word != "null" || types.len() == 1);
    let words = words.map(|word| of_type(root, object, word, depth));
    words.collect::<Vec<_>>().join(" or ")
}

fn of_type(root: &Value, schema: Option<&Map<String, Value>>, word: &str, depth: usize) -> String {
    let get = |key: &str| schema.and_then(|schema| schema.get(key));
    match word {
        "null" => "nothing".to_owned(),
        "boolean" => "true or false".to_owned(),
        "integer" | "number" => {
            let name = if word == "integer" { "whole number" } else { "number" };
            match (get("minimum"), get("maximum")) {
                (Some(min), Some(max)) => format!("{name} {min} to {max}"),
                (Some(min), None) if *min != 0 => format!("{name} from {min}"),
                (None, Some(max)) => format!("{name} up to {max}"),
                _ => name.to_owned(),
            }
        }
        "array" => {
            let item = get("items").map_or_else(|| "any".to_owned(), |i| kind(root, i, depth - 1));
            format!("list of {item}")
        }
        "object" => "table".to_owned(),
        _ => match get("format").and_then(Value::as_str) {
            Some("path") => "path".to_owned(),
            Some("uri") => "address (http…)".to_owned(),
            _ => "text".to_owned(),
        },
    }
}

fn first_sentence(text: Option<&str>) -> String {
    let text = text.unwrap_or_default().replace('\n', " ");
    let end = text.find(". ").map_or(text.len(), |at| at + 1);
    text[..end].to_owned()
}

fn cell(text: &str) -> String {
    let text = printable(text);
    match text.char_indices().nth(CELL_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
