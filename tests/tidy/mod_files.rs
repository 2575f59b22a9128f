//! Keeps logic out of `mod.rs` and `lib.rs`: they hold documentation, a list of modules and re-exports.
//! Tests may keep small helpers there.

use std::path::Path;

use super::tree::{code, is_test_file, sources};

/// Longest function in such a file.
const FUNCTION_LINES_MAX: usize = 10;
/// Small crates of one file.
const WHOLE_CRATES: [&str; 3] = ["plugins", "tests/plugins", "tests/fuzz"];

/// The functions of a formatted file: their first line, and their length.
fn functions(code: &str) -> Vec<(&str, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let head = line.split('(').next().unwrap_or_default();
        if !head.starts_with("fn ") && !head.contains(" fn ") {
            continue;
        }
        // A declaration ends with `;`, a body with `}` at the indent of the function.
        let is_end = |line: &&str| -> bool {
            line.len() - line.trim_start().len() == indent
                && (line.trim_end().ends_with('}') || line.trim_end().ends_with(';'))
        };
        let length = lines[at..].iter().position(is_end).map_or(1, |end| end + 1);
        found.push((line.trim(), length));
    }
    found
}

#[test]
fn mod_files_hold_no_logic() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_whole = WHOLE_CRATES.iter().any(|folder| path.starts_with(Path::new(folder)));
        let is_ruled = matches!(name, "mod.rs" | "lib.rs") && !is_test_file(&path);
        if !is_ruled || (name == "lib.rs" && is_whole) {
            continue;
        }
        for (head, length) in functions(&code(&text)).iter().filter(|f| f.1 > FUNCTION_LINES_MAX) {
            broken.push(format!("{}: {length} lines: {head}", path.display()));
        }
    }
    assert!(broken.is_empty(), "at most {FUNCTION_LINES_MAX}:\n{}", broken.join("\n"));
}
