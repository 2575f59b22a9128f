//! The rooms of the engine import one way: the table in `embedded/mod.rs` is their order. Files import each
//! other in a circle only inside a room.

use std::collections::{BTreeMap, BTreeSet};
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

/// The files that import each other inside a room.
const CIRCLE: [&str; 2] = ["indexing/indexer", "indexing/reindex"];

/// A file of the engine: its room, then its name, without `.rs`.
type File = Vec<String>;

/// Every file outside of tests, with the files that it imports.
fn imports() -> BTreeMap<File, BTreeSet<File>> {
    let mut found = Vec::new();
    files(&embedded(), &mut found);
    let name = |path: &PathBuf| -> File {
        let place = path.strip_prefix(embedded()).unwrap().with_extension("");
        place.iter().map(|part| part.to_string_lossy().into_owned()).collect()
    };
    let texts: BTreeMap<File, String> = found
        .iter()
        .map(|path| (name(path), std::fs::read_to_string(path).unwrap()))
        .filter(|(file, _)| !matches!(&*file[0], "tests" | "simulation"))
        .filter(|(file, _)| !matches!(&**file.last().unwrap(), "mod" | "tests"))
        .collect();
    let known = |path: &[String]| {
        (1..=path.len()).rev().map(|n| path[..n].to_vec()).find(|file| texts.contains_key(file))
    };
    let of = |file: &File, text: &String| -> BTreeSet<File> {
        let mut all = BTreeSet::new();
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let here = &file[..file.len() - 1];
            for (start, base) in [("crate::embedded::", &[][..]), ("super::", here)] {
                for rest in line.split(start).skip(1) {
                    let end = |c: char| !(c.is_alphanumeric() || c == '_' || c == ':');
                    let path = rest.split(end).next().unwrap_or_default();
                    let path = path.split("::").filter(|part| !part.is_empty());
                    let path: File = base.iter().cloned().chain(path.map(str::to_owned)).collect();
                    all.extend(known(&path).filter(|other| other != file));
                }
            }
        }
        all
    };
    texts.iter().map(|(file, text)| (file.clone(), of(file, text))).collect()
}

fn reached(imports: &BTreeMap<File, BTreeSet<File>>, from: &File) -> BTreeSet<File> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(file) = next.pop() {
        for other in &imports[file] {
            if reached.insert(other.clone()) {
                next.push(other);
            }
        }
    }
    reached
}

#[test]
fn files_import_each_other_only_within_a_room() {
    let imports = imports();
    let edges: usize = imports.values().map(BTreeSet::len).sum();
    assert!(imports.len() > 60 && edges > 300, "{} files, {edges} imports", imports.len());
    let all: BTreeMap<&File, BTreeSet<File>> =
        imports.keys().map(|file| (file, reached(&imports, file))).collect();
    let circle = |file: &File| -> Vec<&File> {
        all.keys().copied().filter(|o| all[file].contains(*o) && all[*o].contains(file)).collect()
    };
    let (mut inside, mut across) = (Vec::new(), Vec::new());
    for file in all.keys() {
        let circle = circle(file);
        if circle.iter().any(|other| other[0] != file[0]) {
            across.push(file.join("/"));
        } else if !circle.is_empty() {
            inside.push(file.join("/"));
        }
    }
    assert!(across.is_empty(), "in circles across rooms: {}", across.join(", "));
    assert_eq!(inside, CIRCLE, "in circles inside a room");
}
