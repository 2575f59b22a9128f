//! Names that a person chooses, and names that a person must pick from a list: checks and their problems.

use super::names::{list, near};
use super::problem::Problem;
use super::reader::{Entry, Notes};
use crate::model::Severity;

/// Longest name of a source or target, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// A problem lists at most this many names.
const NAMES_SHOWN_MAX: usize = 20;

/// Notes a problem if `name` is not a valid name. `what`: `source`, `target` and so on.
pub(super) fn check_name(what: &str, name: &str, entry: &Entry<'_>, notes: &Notes) {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(plain) {
        return;
    }
    let title = format!("`{name}` is not a valid name for a {what}");
    let problem = Problem::error(title).at(entry.key.clone(), "invalid name");
    let help = format!("use 1 to {NAME_BYTES_MAX} characters out of a-z, A-Z, 0-9, - and _");
    notes.add(problem.help(help));
}

/// Notes that `written` is not one of `names`.
pub(super) fn unknown<'c>(
    entry: &Entry<'_>,
    what: &str,
    plural: &str,
    written: &str,
    names: impl Iterator<Item = &'c str> + Clone,
    notes: &Notes,
) {
    let label = match near(written, names.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("unknown {what}"),
    };
    let title = format!("unknown {what} `{written}`");
    let help = if names.clone().count() > NAMES_SHOWN_MAX {
        format!("docs/reference/{plural}.md lists all {plural}")
    } else {
        format!("known {plural}: {}", list(names))
    };
    entry.refuse(notes, &title, &label, &help);
}

/// Notes that `word` is not a severity. The help lists all severities, worst first, and then `more`.
pub(super) fn unknown_severity(entry: &Entry<'_>, word: &str, more: &str, notes: &Notes) {
    let words: Vec<&str> = Severity::ALL.iter().rev().map(|severity| severity.as_str()).collect();
    let label = match near(word, words.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "unknown severity".to_owned(),
    };
    let help = format!("known severities: {}{more}", words.join(", "));
    entry.refuse(notes, &format!("unknown severity `{word}`"), &label, &help);
}
