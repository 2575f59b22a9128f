//! Checks that the tests that the security page names exist.

use std::collections::BTreeSet;
use std::path::Path;

use super::tree::texts;

const PAGE: &str = "docs/reference/security.md";
/// A test's name has at least this many underscores; a setting's has fewer.
const UNDERSCORES_MIN: usize = 3;

#[test]
fn the_tests_that_the_security_page_names_exist() {
    let code = texts(&["rs"]);
    let functions: BTreeSet<&str> = code
        .values()
        .flat_map(|text| text.split("fn ").skip(1))
        .filter_map(|rest| rest.split(['(', '<']).next())
        .collect();
    let pages = texts(&["md"]);
    let page = &pages[Path::new(PAGE)];
    let is_name = |word: &&str| {
        word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            && word.matches('_').count() >= UNDERSCORES_MIN
    };
    let named: Vec<&str> = page.split('`').skip(1).step_by(2).filter(is_name).collect();
    let missing: Vec<&&str> = named.iter().filter(|name| !functions.contains(**name)).collect();
    assert!(named.len() > 40, "the scan found only {} names: it misses some", named.len());
    assert!(missing.is_empty(), "{PAGE} names tests that do not exist: {missing:#?}");
}
