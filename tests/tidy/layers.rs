//! Holds the imports of the daemon to the layer table of `ARCHITECTURE.md`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::tree::{code, is_test_file, paths_from, root, sources};

/// What test code of any layer may name; `ARCHITECTURE.md` says why.
const IN_TESTS: [&str; 2] = ["config", "vendors"];

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
    assert!(layers.layer_of.len() >= 14, "could not read the layer table");
    layers
}

/// The module of `host/src` that a file belongs to.
fn module_of(path: &Path) -> Option<String> {
    let inner = path.strip_prefix("host/src").ok()?;
    let module = inner.iter().next()?.to_str()?.trim_end_matches(".rs");
    Some(module.to_owned())
}

#[test]
fn modules_name_only_lower_layers() {
    let layers = layers();
    let mut broken = Vec::new();
    let mut seen = 0;
    for (path, text) in sources() {
        let Some(module) = module_of(&path).filter(|module| module != "lib") else { continue };
        let from = if module == "main" { "cli" } else { &module };
        let Some(from_layer) = layers.layer_of.get(from) else {
            broken.push(format!("{}: ARCHITECTURE.md gives `{from}` no layer", path.display()));
            continue;
        };
        let production = if is_test_file(&path) { String::new() } else { code(&text) };
        let production = paths_from(&production, "crate");
        for named in paths_from(&text, "crate") {
            let Some(to) = named.get(1).filter(|to| *to != from) else { continue };
            let Some(to_layer) = layers.layer_of.get(to) else { continue };
            seen += 1;
            let is_test_only = named[1..].starts_with(&IN_TESTS.map(str::to_owned))
                && !production.contains(&named);
            let is_excepted =
                is_test_only || layers.exceptions.contains(&(from.to_owned(), to.clone()));
            if to_layer >= from_layer && !is_excepted {
                broken.push(format!("{}: `{from}` must not name `{to}`", path.display()));
            }
        }
    }
    assert!(seen > 20, "the scan found only {seen} uses: it misses some");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn pure_modules_have_no_clock_no_io_and_no_randomness() {
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
        let Some(module) = module_of(&path) else { continue };
        let code = text.split("#[cfg(test)]").next().unwrap();
        if layers.layer_of.get(&module) == Some(&1) && !is_test_file(&path) {
            for word in banned.iter().filter(|word| code.contains(**word)) {
                broken.push(format!("{}: pure code names `{word}`", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
