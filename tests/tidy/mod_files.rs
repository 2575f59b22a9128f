//! Keeps logic out of `mod.rs` and `lib.rs`: they hold documentation, a list of modules and re-exports.

use std::path::Path;

use super::tree::{code, sources};

/// Longest function in such a file.
const FUNCTION_LINES_MAX: usize = 10;
/// Small crates of one file.
const WHOLE_CRATES: [&str; 3] = ["plugins", "tests/plugins", "tests/fuzz"];

/// The functions of a formatted file: their first line, counted from 1, and their length.
fn functions(code: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let is_function = line
            .split('(')
            .next()
            .is_some_and(|head| head.trim_start().starts_with("fn ") || head.contains(" fn "))
            && !line.trim_start().starts_with("//");
        if !is_function {
            continue;
        }
        // A declaration ends with `;`, a body with `}` at the indent of the function.
        let is_end = |line: &&str| {
            line.len() - line.trim_start().len() == indent
                && (line.trim_end().ends_with('}') || line.trim_end().ends_with(';'))
        };
        let length = lines[at..].iter().position(|line| is_end(&line)).map_or(1, |end| end + 1);
        found.push((at + 1, length));
    }
    found
}

#[test]
fn mod_files_hold_no_logic() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_whole = WHOLE_CRATES.iter().any(|folder| path.starts_with(Path::new(folder)));
        if !matches!(name, "mod.rs" | "lib.rs") || (name == "lib.rs" && is_whole) {
            continue;
        }
        for (_, length) in functions(&code(&text)).iter().filter(|f| f.1 > FUNCTION_LINES_MAX) {
            broken.push(format!("{}: a function of {length} lines", path.display()));
        }
    }
    assert!(broken.is_empty(), "at most {FUNCTION_LINES_MAX}:\n{}", broken.join("\n"));
}
