//! `path` of a source.

use std::collections::HashMap;

use super::super::problem::Problem;
use super::super::reader::{Notes, Table};

/// Longest path of a source, in bytes.
const PATH_BYTES_MAX: usize = 256;

/// The path of source `name`. `paths` has the paths of the sources read before, with their names.
pub(super) fn path(
    name: &str,
    table: &mut Table<'_>,
    paths: &mut HashMap<String, String>,
    notes: &Notes,
) -> String {
    let entry = table.entry("path");
    let written = entry.as_ref().and_then(|entry| entry.string(notes));
    let path = written.map_or_else(|| format!("/{name}"), str::to_owned);
    let span = entry.map_or_else(|| table.place.clone(), |entry| entry.span);
    if let Err(error) = check_path(&path) {
        let title = format!("the path of source `{name}` is not valid");
        notes.add(Problem::error(title).at(span, error.to_string()));
        return path;
    }
    // A trailing slash makes no difference.
    let same = path.trim_end_matches('/').to_owned();
    if let Some(other) = paths.insert(same, name.to_owned()) {
        let title = format!("sources `{other}` and `{name}` have the same path {path}");
        let problem = Problem::error(title).at(span, "already used");
        notes.add(problem.help("give one of them a different path: path = \"/…\""));
    }
    path
}

/// Why a path cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum InvalidPath {
    #[error("must begin with `/`")]
    Relative,
    #[error("must have at most {PATH_BYTES_MAX} bytes")]
    TooLong,
    #[error("may contain only letters, digits and -._~!$&'()*+,;=:@/")]
    Characters,
    #[error("must not have a part that is empty, `.` or `..`")]
    Parts,
}

/// Accepts paths that no client or proxy rewrites: no query, no escapes, no empty or dotted part.
fn check_path(path: &str) -> Result<(), InvalidPath> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&b);
    let Some(rest) = path.strip_prefix('/') else {
        return Err(InvalidPath::Relative);
    };
    if path.len() > PATH_BYTES_MAX {
        return Err(InvalidPath::TooLong);
    }
    if !path.bytes().all(plain) {
        return Err(InvalidPath::Characters);
    }
    let parts = rest.strip_suffix('/').unwrap_or(rest);
    if !rest.is_empty() && parts.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(InvalidPath::Parts);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_that_nothing_rewrites_are_accepted() {
        for good in ["/", "/sqreen", "/sqreen/", "/a/b-c/~d.e", "/hooks;v=1"] {
            assert_eq!(check_path(good), Ok(()), "{good}");
        }
        let long = format!("/{}", "x".repeat(PATH_BYTES_MAX));
        for bad in [
            "", "sqreen", "/a b", "/a?b", "/a#b", "/a%20b", "/é", "//", "/a//b", "/a/../b", "/.",
            &long,
        ] {
            assert!(check_path(bad).is_err(), "{bad}");
        }
    }
}
