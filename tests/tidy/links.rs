//! Checks that links in Markdown files, and the files that the contributor's pages name, exist.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::tree::{Texts, root, texts};

/// Pages that name source files in backticks. Decisions are not among them: they describe the past.
const PAGES_WITH_PATHS: [&str; 3] = ["ARCHITECTURE.md", "CONTRIBUTING.md", "docs/README.md"];
/// Where such a path may start, besides the root.
const PATH_STARTS: [&str; 3] = ["host/src", "host/store/src", "host/store/src/embedded"];

/// The lines of a page that are not in a code block, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    text.lines().enumerate().filter_map(move |(number, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        (!is_code && !is_fence).then_some((number + 1, line))
    })
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(text: &str) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let headings = prose(text).filter_map(|(_, line)| {
        let heading = line.trim_start_matches('#');
        (line.len() > heading.len() && heading.starts_with(' ')).then(|| heading.trim())
    });
    let slug = |heading: &str| -> String {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | ' '));
        kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    let numbered = |slug: String| {
        let count = seen.entry(slug.clone()).or_default();
        *count += 1;
        if *count == 1 { slug } else { format!("{slug}-{}", *count - 1) }
    };
    headings.map(slug).map(numbered).collect()
}

/// A path without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path {
        match part.to_str() {
            Some(".") => {}
            Some("..") => drop(normal.pop()),
            _ => normal.push(part),
        }
    }
    normal
}

/// What is wrong with a link of `page`.
fn problem(pages: &Texts, page: &Path, link: &str) -> Option<String> {
    if link.starts_with("http://") || link.starts_with("https://") || link.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let folder = page.parent().unwrap_or(Path::new(""));
    let target = if path.is_empty() { page.to_path_buf() } else { normal(&folder.join(path)) };
    if !root().join(&target).exists() {
        return Some(format!("{} does not exist", target.display()));
    }
    let found = pages.get(&target).map(|text| anchors(text)).unwrap_or_default();
    let is_missing = !anchor.is_empty() && !found.iter().any(|known| known == anchor);
    is_missing.then(|| format!("{} has no heading #{anchor}", target.display()))
}

#[test]
fn links_of_all_pages_resolve() {
    let pages = texts(&["md"]);
    let mut broken = Vec::new();
    let mut seen = 0;
    for (page, text) in &pages {
        for (number, line) in prose(text) {
            for (at, _) in line.match_indices("](") {
                let rest = &line[at + 2..];
                let link = rest.split([')', ' ']).next().unwrap_or_default();
                seen += 1;
                if let Some(problem) = problem(&pages, page, link) {
                    broken.push(format!("{}:{number}: {problem}", page.display()));
                }
            }
        }
    }
    assert!(seen > 20, "the scan found only {seen} links: it misses some");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Whether text in backticks is meant as a path in this repository.
fn is_path(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    text.chars().all(allowed) && text.contains('/') && !text.starts_with('/')
}

#[test]
fn files_named_for_contributors_exist() {
    let pages = texts(&["md"]);
    let mut broken = Vec::new();
    let mut seen = 0;
    for page in PAGES_WITH_PATHS.map(Path::new) {
        let text = pages.get(page).unwrap_or_else(|| panic!("{} is missing", page.display()));
        for (number, line) in prose(text) {
            for named in line.split('`').skip(1).step_by(2).filter(|text| is_path(text)) {
                seen += 1;
                // `NAME` stands for any name: its folder must exist.
                let is_any = |part: &OsStr| part.to_string_lossy().starts_with("NAME");
                let parts = Path::new(named).iter().take_while(|part| !is_any(part));
                let path: PathBuf = parts.collect();
                let exists = |start: &str| root().join(start).join(&path).exists();
                if !exists("") && !PATH_STARTS.iter().any(|start| exists(start)) {
                    broken.push(format!("{}:{number}: no file {named}", page.display()));
                }
            }
        }
    }
    assert!(seen > 20, "the scan found only {seen} paths: it misses some");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
