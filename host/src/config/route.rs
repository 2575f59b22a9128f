//! `route` of a target: which events it gets.

use std::sync::Arc;

use super::naming::{unknown, unknown_severity};
use super::reader::{Entry, Notes, Table};
use crate::model::Severity;
use crate::route::{Rule, TypePattern};

/// Reads one table, or a list of tables of which any may match. `sources` are the names of known sources.
pub(super) fn rules(entry: &Entry<'_>, sources: &[&str], notes: &Notes) -> Vec<Rule> {
    entry
        .one_or_more(notes)
        .iter()
        .filter_map(|entry| Some(rule(entry.table(notes)?, entry, sources, notes)))
        .collect()
}

fn rule(mut table: Table<'_>, place: &Entry<'_>, sources: &[&str], notes: &Notes) -> Rule {
    if table.all().is_empty() {
        let title = format!("`{}` has no condition", place.path);
        place.refuse(
            notes,
            &title,
            "this rule would match every event",
            "to get every event, remove `route`",
        );
    }
    let names = table.entry("sources").map(|entry| entry.one_or_more(notes)).unwrap_or_default();
    let names = names.iter().filter_map(|entry| {
        let name = entry.string(notes)?;
        if !sources.contains(&name) {
            unknown(entry, "source", "sources", name, sources.iter().copied(), notes);
        }
        Some(Arc::from(name))
    });
    let sources = names.collect();
    let types = table.entry("types").map_or_else(Vec::new, |entry| types(&entry, notes));
    let severity = table.entry("severity").and_then(|entry| {
        let word = entry.string(notes)?;
        let severity = Severity::from_word(word);
        if severity.is_none() {
            let help = "; an event matches if it is at least this severe";
            unknown_severity(&entry, word, help, notes);
        }
        severity
    });
    table.finish(notes, |_| None);
    Rule { sources, types, severity }
}

fn types(entry: &Entry<'_>, notes: &Notes) -> Vec<TypePattern> {
    let read = |entry: Entry<'_>| {
        let read = entry.string(notes)?.parse::<TypePattern>();
        let title = format!("`{}` is not a valid pattern", entry.path);
        read.map_err(|error| entry.refuse(notes, &title, &error.to_string(), "")).ok()
    };
    let types: Vec<TypePattern> = entry.one_or_more(notes).into_iter().filter_map(read).collect();
    let (excluded, included): (Vec<_>, Vec<_>) = types.iter().partition(|one| one.excludes());
    // Without a pattern that includes, every type is included.
    let is_excluded = |one: &&TypePattern| excluded.iter().any(|other| other.covers(one));
    let none_is_left = !included.is_empty() && included.iter().all(is_excluded);
    if none_is_left || excluded.iter().any(|one| one.matches_all()) {
        let title = format!("`{}` matches no type", entry.path);
        let help = "an event must match a pattern without `!`, if there are any, and none with it";
        entry.refuse(notes, &title, "every type is excluded", help);
    }
    types
}
