//! Limits the length of files, and requires a header on each.

use std::fs;

use super::tree::{root, sources};

/// Longest file, tests included.
const FILE_LINES_MAX: usize = 500;
/// Limit of the median length.
const MEDIAN_LINES_MAX: usize = 200;
/// Longest `main.rs`.
const MAIN_LINES_MAX: usize = 40;

#[test]
fn files_are_short_and_begin_with_a_header() {
    let mut broken = Vec::new();
    let mut lengths = Vec::new();
    for (path, text) in sources() {
        let lines = text.lines().count();
        lengths.push(lines);
        if lines > FILE_LINES_MAX {
            broken.push(format!("{}: {lines} lines, at most {FILE_LINES_MAX}", path.display()));
        }
        if !text.starts_with("//!") {
            broken.push(format!("{}: has no //! header", path.display()));
        }
        for (number, line) in text.lines().enumerate() {
            if line.ends_with(' ') || line.contains('\t') {
                let number = number + 1;
                broken.push(format!("{}:{number}: trailing space or a tab", path.display()));
            }
        }
    }
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    assert!(median <= MEDIAN_LINES_MAX, "the median file has {median} lines");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn main_only_calls_the_library() {
    let text = fs::read_to_string(root().join("host/src/main.rs")).unwrap();
    let lines = text.lines().count();
    assert!(lines <= MAIN_LINES_MAX, "main.rs parses, runs and exits; it has {lines} lines");
}
