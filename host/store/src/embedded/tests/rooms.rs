//! The rooms of the engine import one way: the table in `embedded/mod.rs` is their order.

use std::path::{Path, PathBuf};

/// What every room may name.
const SHARED: [&str; 7] =
    ["limits", "error", "settings", "Settings", "OpenError", "simulation", "tests"];

fn embedded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/embedded")
}

/// The first column of the table below the heading.
fn rooms() -> Vec<String> {
    let text = std::fs::read_to_string(embedded().join("mod.rs")).unwrap();
    let table = text.split("//! # Rooms").nth(1).unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("//! | `"));
    rows.filter_map(|row| Some(row.split_once('`')?.0.to_owned())).collect()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// What a file names of the engine, without its comments.
fn named(text: &str) -> Vec<String> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let word = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    code.split("crate::embedded::").skip(1).map(word).collect()
}

#[test]
fn the_rooms_of_the_store_import_one_way() {
    let rooms = rooms();
    assert!(rooms.len() > 12, "the table was not understood: {rooms:?}");
    let mut broken = Vec::new();
    for (place, room) in rooms.iter().enumerate() {
        let mut found = Vec::new();
        let folder = embedded().join(room);
        if folder.is_dir() {
            files(&folder, &mut found);
        } else {
            found.push(folder.with_extension("rs"));
        }
        for path in found {
            let text = std::fs::read_to_string(&path).unwrap();
            for name in named(&text) {
                let allowed = SHARED.contains(&&*name) || rooms[..=place].contains(&name);
                if !allowed {
                    broken.push(format!("{} names {name}", path.display()));
                }
            }
            // A room has one level of files: `super::super` would escape the rule.
            if room != "tools" && text.contains("super::super::") {
                broken.push(format!("{} leaves its room by `super::super`", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "rooms that name a later one:\n{}", broken.join("\n"));
}
