//! Names that a person chooses, and names that a person must pick from a list: checks and their problems.

use super::names::{list, near};
use super::problem::Problem;
use super::reader::{Entry, Notes, Table};
use crate::model::Severity;

/// Longest name of a source or target, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// A problem lists at most this many names.
const NAMES_SHOWN_MAX: usize = 20;

/// The entries of a table whose keys are names that a person chose, such as `[sources]`. Notes invalid names, and
/// leaves out what is more than `max`.
pub(super) fn named<'t>(
    table: &Table<'t>,
    what: &str,
    max: usize,
    notes: &Notes,
) -> Vec<(&'t str, Entry<'t>)> {
    let mut all = table.all();
    if let Some((_, entry)) = all.get(max) {
        let problem = Problem::error(format!("there are more than {max} {what}s"));
        notes.add(problem.at(entry.key.clone(), "over the limit"));
        all.truncate(max);
    }
    for (name, entry) in &all {
        check_name(what, name, entry, notes);
    }
    all
}

/// Like [`named`], for what is also built in: a name that is taken is refused.
pub(super) fn named_by_user<'t>(
    table: &Table<'t>,
    what: &str,
    max: usize,
    is_built_in: impl Fn(&str) -> bool,
    notes: &Notes,
) -> Vec<(&'t str, Entry<'t>)> {
    let all = named(table, what, max, notes);
    for (name, entry) in all.iter().filter(|(name, _)| is_built_in(name)) {
        let title = format!("{what} `{name}` is built in and cannot be replaced");
        let problem = Problem::error(title).at(entry.key.clone(), "taken");
        let help = format!("give yours another name, and write {what} = \"NAME\" in the source");
        notes.add(problem.help(help));
    }
    all
}

/// Notes a problem if `name` is not a valid name. `what`: `source`, `target` and so on.
fn check_name(what: &str, name: &str, entry: &Entry<'_>, notes: &Notes) {
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
