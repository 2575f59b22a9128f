//! Holds the tree to its own rules: the layer table of `ARCHITECTURE.md`, file headers and sizes.
//!
//! Works on the text of the files, so a rule names what it looks for and where an exception stands.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Longest file, tests included.
const FILE_LINES_MAX: usize = 600;
/// The file whose median length we hold.
const MEDIAN_LINES_MAX: usize = 200;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("host lies in the root").to_path_buf()
}

/// Every `.rs` file of the project, with its text, by its path from the root.
fn sources() -> BTreeMap<PathBuf, String> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.join("CACHEDIR.TAG").exists() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    for folder in ["host", "plugin-api", "plugins", "tests"] {
        walk(&root().join(folder), &mut found);
    }
    found
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path.strip_prefix(root()).unwrap().to_path_buf(), text)
        })
        .collect()
}

struct Layers {
    layer_of: BTreeMap<String, usize>,
    exceptions: Vec<(String, String)>,
}

/// Reads the table below the heading `Layers of`.
fn layers() -> Layers {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let section = text.split("## Layers of").nth(1).expect("ARCHITECTURE.md has the section");
    let mut layers = Layers { layer_of: BTreeMap::new(), exceptions: Vec::new() };
    for row in section.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let Ok(layer) = cells[0].parse::<usize>() else { continue };
        let names = |cell: &str| -> Vec<String> {
            cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
        };
        for name in names(cells[1]) {
            layers.layer_of.insert(name, layer);
        }
        if let [from, to] = names(cells[2]).as_slice() {
            layers.exceptions.push((from.clone(), to.clone()));
        }
    }
    assert!(layers.layer_of.len() >= 14, "the layer table was not understood");
    layers
}

/// Modules of the host that a text names by `crate::NAME` or inside `use crate::{…}`.
fn named_modules(text: &str) -> Vec<String> {
    let mut named = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        // `$crate::` in a macro of this crate names the same modules.
        let rest = &text[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 1;
            let mut word = String::new();
            let mut first = true;
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 1 => first = true,
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
                if c.is_alphanumeric() || c == '_' {
                    word.push(c);
                } else {
                    if first && depth >= 1 && !word.is_empty() {
                        named.push(word.clone());
                        first = false;
                    }
                    word.clear();
                    first |= c == ',' && depth == 1;
                }
            }
            if first && !word.is_empty() {
                named.push(word);
            }
        } else {
            named.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    named
}

#[test]
fn modules_name_only_lower_layers() {
    let layers = layers();
    let mut broken = Vec::new();
    let mut seen = 0;
    for (path, text) in sources() {
        let Ok(inner) = path.strip_prefix("host/src") else { continue };
        let module = inner.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        let from = if module == "main" { "cli" } else { module };
        let Some(from_layer) = layers.layer_of.get(from) else {
            broken.push(format!(
                "{}: `{from}` stands in no layer of ARCHITECTURE.md",
                path.display()
            ));
            continue;
        };
        for to in named_modules(&text).iter().filter(|to| *to != from) {
            let Some(to_layer) = layers.layer_of.get(to) else { continue };
            seen += 1;
            let excepted = layers.exceptions.contains(&(from.to_owned(), to.clone()));
            if to_layer >= from_layer && !excepted {
                broken.push(format!("{}: `{from}` must not name `{to}`", path.display()));
            }
        }
    }
    assert!(seen > 20, "the scan found only {seen} uses: it does not see them");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn pure_modules_have_no_clock_no_io_and_no_chance() {
    let layers = layers();
    let banned = [
        "tokio",
        "std::fs",
        "std::net",
        "SystemTime::now",
        "Instant::now",
        "fastrand",
        "getrandom",
    ];
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let Ok(inner) = path.strip_prefix("host/src") else { continue };
        let module = inner.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        let code = text.split("#[cfg(test)]").next().unwrap();
        let is_test_file = path.iter().any(|part| part == "tests.rs" || part == "tests");
        if layers.layer_of.get(module) == Some(&1) && !is_test_file {
            for word in banned.iter().filter(|word| code.contains(**word)) {
                broken.push(format!("{}: pure code names `{word}`", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_fragile_crates_stay_behind_their_fence() {
    // (word, folders that may name it)
    let fences: [(&str, &[&str]); 5] = [
        ("abi_stable", &["plugin-api/src/abi", "tests/tidy.rs"]),
        ("async_ffi", &["plugin-api/src/abi", "tests/tidy.rs"]),
        ("libloading", &["host/src/plugin", "tests/tidy.rs"]),
        ("fjall", &["host/store/src/embedded", "tests/tidy.rs"]),
        ("toml::", &["host/src/config", "tests/tidy.rs"]),
    ];
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let code: String = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect::<Vec<_>>()
            .join("\n");
        let at = path.to_str().unwrap();
        for (word, allowed) in fences {
            if code.contains(word) && !allowed.iter().any(|folder| at.starts_with(folder)) {
                broken.push(format!("{at}: names {word}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    let mut broken = Vec::new();
    let mut lengths = Vec::new();
    for (path, text) in sources() {
        let lines = text.lines().count();
        lengths.push(lines);
        if lines > FILE_LINES_MAX {
            broken.push(format!("{}: {lines} lines, {FILE_LINES_MAX} at most", path.display()));
        }
        if !text.starts_with("//!") {
            broken.push(format!("{}: has no //! header", path.display()));
        }
        for (number, line) in text.lines().enumerate() {
            if line.ends_with(' ') || line.contains('\t') {
                broken.push(format!("{}:{}: stray white space", path.display(), number + 1));
            }
        }
    }
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    assert!(median <= MEDIAN_LINES_MAX, "the median file has {median} lines");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn main_only_calls() {
    let text = fs::read_to_string(root().join("host/src/main.rs")).unwrap();
    assert!(text.lines().count() <= 40, "main.rs parses, runs and exits, no more");
}
