//! Reads the files of the project, and finds the modules that Rust code names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold no source: what a package manager or a daemon leaves in a checkout.
const SKIPPED: [&str; 5] = ["node_modules", "data", "logs", "plugin-cache", "plugins.d"];

/// The text of each file, by its path from the root of the project.
pub(super) type Texts = BTreeMap<PathBuf, String>;

pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("host is in the root").to_path_buf()
}

/// Every file whose name ends with one of these extensions.
pub(super) fn texts(extensions: &[&str]) -> Texts {
    let mut found = Texts::new();
    walk(&root(), &mut |path| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        if extension.is_some_and(|extension| extensions.contains(&extension)) {
            let text = fs::read_to_string(&path).unwrap();
            found.insert(path.strip_prefix(root()).unwrap().to_path_buf(), text);
        }
    });
    found
}

/// Every `.rs` file.
pub(super) fn sources() -> Texts {
    texts(&["rs"])
}

fn walk(folder: &Path, visit: &mut impl FnMut(PathBuf)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // A folder of source may have the name of the build output.
        let is_build_output = name == "target" && folder.join("Cargo.toml").exists();
        if name.starts_with('.') || SKIPPED.contains(&name) || is_build_output {
            continue;
        }
        if path.is_dir() {
            walk(&path, visit);
        } else {
            visit(path);
        }
    }
}

/// The code of a file, without comments and without the tests at its end.
pub(super) fn code(text: &str) -> String {
    let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    code.lines().filter(is_code).collect::<Vec<_>>().join("\n")
}

/// Whether a file consists of tests.
pub(super) fn is_test_file(path: &Path) -> bool {
    path.iter().any(|part| part == "tests.rs" || part == "tests")
}

/// Every path that begins with `start`, such as `crate` or `super`, with `use` groups expanded:
/// `crate::{a::B, c}` becomes `crate a B` and `crate c`.
pub(super) fn paths_from(code: &str, start: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let start_colons = format!("{start}::");
    for (at, _) in code.match_indices(&start_colons) {
        // A longer word that ends with `start`, or a later part of another path.
        let before = code[..at].chars().next_back().unwrap_or(' ');
        if !before.is_alphanumeric() && !matches!(before, '_' | ':') {
            let mut rest = code[at + start_colons.len()..].chars().peekable();
            expand(&mut rest, &mut vec![start.to_owned()], &mut found);
        }
    }
    found
}

type Chars<'t> = std::iter::Peekable<std::str::Chars<'t>>;

/// Reads one `use` tree below `prefix`, up to the character that ends it.
fn expand(rest: &mut Chars<'_>, prefix: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    let depth = prefix.len();
    loop {
        while rest.next_if(|c| c.is_whitespace()).is_some() {}
        if rest.next_if_eq(&'{').is_some() {
            while !matches!(rest.peek(), None | Some('}')) {
                let before = rest.clone().count();
                expand(rest, prefix, found);
                // Up to the next member: `as NAME`, commas.
                while rest.next_if(|c| !matches!(c, ',' | '}')).is_some() {}
                rest.next_if_eq(&',');
                while rest.next_if(|c| c.is_whitespace()).is_some() {}
                assert!(rest.clone().count() < before, "a use tree that is not understood");
            }
            rest.next();
            break;
        }
        let mut word = String::new();
        while let Some(c) = rest.next_if(|c| c.is_alphanumeric() || *c == '_') {
            word.push(c);
        }
        if word.is_empty() {
            found.push(prefix.clone());
            break;
        }
        prefix.push(word);
        let mut ahead = rest.clone();
        if ahead.next() == Some(':') && ahead.next() == Some(':') {
            *rest = ahead;
        } else {
            found.push(prefix.clone());
            break;
        }
    }
    prefix.truncate(depth);
}

#[test]
fn use_groups_are_expanded() {
    let code =
        "use crate::{a::{B, c::D as E}, f};\nuse super::super::g::*; supercrate::x::y; $crate::h!";
    let words = |start| -> Vec<String> {
        paths_from(code, start).iter().map(|path| path.join(" ")).collect()
    };
    assert_eq!(words("crate"), ["crate a B", "crate a c D", "crate f", "crate h"]);
    assert_eq!(words("super"), ["super super g"]);
}
