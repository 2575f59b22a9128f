//! What is shown of plugin files, good and bad ones.

use super::*;
use crate::plugin::Manifest;
use serde_json::json;

#[test]
fn a_good_file_is_shown_with_every_setting() {
    let beside = std::env::current_exe().unwrap().with_file_name("libdispatcher_test_each.so");
    let folder = tempfile::tempdir().unwrap();
    let listed = app::plugin_file(&beside, &config::default_plugins(folder.path())).unwrap();
    let shown = schema::render(listed.manifest.as_ref().unwrap(), &beside);
    for part in [
        "name       test-each\n",
        "takes      one event\n",
        "interface  1.0\n",
        "about      Does as told\n",
        "delivers   once for each value of `to`\n",
        "settings.act ",
        "required",
        "What to do.",
        "settings.token  secret (a reference)",
        "settings.to     list of address (http…)",
        "settings.file   path",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is written");
}

#[test]
fn a_recursive_or_empty_schema_is_shown_within_bounds() {
    let endless = json!({
        "properties": { "a": { "$ref": "#" }, "b": { "items": { "$ref": "#/$defs/L" }, "type": "array" } },
        "$defs": { "L": { "type": "array", "items": { "$ref": "#/$defs/L" } } },
    });
    for (schema, part) in [
        (endless, "settings.b"),
        (json!({}), "no settings"),
        (json!(null), "no settings"),
        (
            json!({"properties": {"x\u{1b}": {"minimum": 1, "type": "integer"}}}),
            "x\\u{1b}  whole number from 1",
        ),
        (
            json!({"properties": {"x": {"type": ["string", "null"], "default": null}}}),
            "settings.x  text   -",
        ),
        (
            json!({"properties": {"x": {"anyOf": [{"const": 1}, {"type": "null"}]}}}),
            "settings.x  1      -",
        ),
    ] {
        let manifest =
            json!({"name": "a", "version": "1", "api": "1.0", "mode": "each", "schema": schema});
        let manifest: Manifest = serde_json::from_value(manifest).unwrap();
        let shown = schema::render(&manifest, Path::new("a.so"));
        assert!(shown.contains(part) && shown.lines().count() < 220, "{part}: {shown}");
    }
}

#[test]
fn a_bad_file_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let settings = config::default_plugins(folder.path());
    for (name, content, reason) in [
        ("a.so", "text", "not an ELF file"),
        ("b.txt", "", "not an ELF file"),
        ("", "", "not a regular file"),
    ] {
        let file = folder.path().join(name);
        if !name.is_empty() {
            std::fs::write(&file, content).unwrap();
        }
        let line = problem(&app::plugin_file(&file, &settings).unwrap());
        let start = format!("not usable: {}: ", file.display());
        assert!(line.starts_with(&start) && line.contains(reason), "{line}");
        assert_eq!(line.lines().count(), 1);
    }
    let line = problem(&app::plugin_file(&folder.path().join("none"), &settings).unwrap());
    assert!(line.contains("cannot open it"), "{line}");
}
