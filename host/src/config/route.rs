//! `route` of a target: which events it gets.

use std::collections::HashMap;
use std::sync::Arc;

use super::naming::{unknown, unknown_severity};
use super::problem::Problem;
use super::reader::{Entry, Notes, Table};
use crate::model::{OWN_SOURCE, Severity};
use crate::normalize::{Fixed, NOT_AN_OBJECT};
use crate::route::{Rule, TypePattern};
use crate::telemetry::AlarmKind;

/// The sources that a route may name.
pub(super) struct Routable<'a> {
    pub(super) names: Vec<&'a str>,
    /// What all events of a source have in common.
    pub(super) fixed: HashMap<&'a str, Fixed>,
}

/// Reads one table, or a list of tables of which any may match.
pub(super) fn rules(entry: &Entry<'_>, sources: &Routable<'_>, notes: &Notes) -> Vec<Rule> {
    entry
        .one_or_more(notes)
        .iter()
        .filter_map(|entry| Some(rule(entry.table(notes)?, entry, sources, notes)))
        .collect()
}

fn rule(mut table: Table<'_>, place: &Entry<'_>, routable: &Routable<'_>, notes: &Notes) -> Rule {
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
        if !routable.names.contains(&name) {
            unknown(entry, "source", "sources", name, routable.names.iter().copied(), notes);
        }
        Some(Arc::from(name))
    });
    let sources = names.collect();
    let types_entry = table.entry("types");
    let types = types_entry.as_ref().map_or_else(Vec::new, |entry| types(entry, notes));
    let severity_entry = table.entry("severity");
    let severity = severity_entry.as_ref().and_then(|entry| {
        let word = entry.string(notes)?;
        let severity = Severity::from_word(word);
        if severity.is_none() {
            let help = "; an event matches if it is at least this severe";
            unknown_severity(entry, word, help, notes);
        }
        severity
    });
    table.finish(notes, |_| None);
    let rule = Rule { sources, types, severity };
    let by_type = Rule { severity: None, ..rule.clone() };
    match (types_entry, severity_entry) {
        (Some(entry), _) if reach(&by_type, routable) == Reach::Nothing => {
            warn_never(&entry, &by_type, "type", routable, notes);
        }
        (_, Some(entry)) => match reach(&rule, routable) {
            Reach::Nothing => warn_never(&entry, &rule, "severity", routable, notes),
            // Types that only those have were written on purpose.
            Reach::OnlyOthers if reach(&by_type, routable) == Reach::Objects => {
                warn_only_others(&entry, &rule, routable, notes);
            }
            Reach::OnlyOthers | Reach::Objects => {}
        },
        _ => {}
    }
    rule
}

/// The sources that the rule is for.
fn sources_of<'a>(rule: &Rule, routable: &Routable<'a>) -> Vec<&'a str> {
    routable.names.iter().copied().filter(|name| rule.is_for(Some(name))).collect()
}

/// Which events of its sources can match a rule, as far as their types and severities are known before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    Nothing,
    /// Elements of a list that are not JSON objects.
    OnlyOthers,
    Objects,
}

fn reach(rule: &Rule, routable: &Routable<'_>) -> Reach {
    let (other_type, other_severity) = NOT_AN_OBJECT;
    let of = |name: &&str| match routable.fixed.get(name) {
        _ if **name == *OWN_SOURCE && !rule.gets_alarms() => Reach::Nothing,
        Some(fixed) if !rule.may_match(fixed.event_type.as_deref(), fixed.severity) => {
            let others = rule.may_match(Some(other_type), Some(other_severity));
            if others { Reach::OnlyOthers } else { Reach::Nothing }
        }
        // Also if the source could not be read.
        _ => Reach::Objects,
    };
    sources_of(rule, routable).iter().map(of).max().unwrap_or(Reach::Objects)
}

fn warn_only_others(entry: &Entry<'_>, rule: &Rule, routable: &Routable<'_>, notes: &Notes) {
    let known = sources_of(rule, routable).into_iter().find_map(|source| {
        let severity = routable.fixed.get(source)?.severity?;
        Some(format!(
            "all events of source `{source}` that are JSON objects have severity `{severity}`"
        ))
    });
    let title = format!("`{}` matches only elements that are not JSON objects", entry.path);
    let problem = Problem::warning(title).at(entry.span.clone(), known.unwrap_or_default());
    notes.add(problem.help("the sender of a source says where the severity of its events is"));
}

fn warn_never(entry: &Entry<'_>, rule: &Rule, what: &str, routable: &Routable<'_>, notes: &Notes) {
    let Some(source) = sources_of(rule, routable).first().copied() else { return };
    let label = match routable.fixed.get(source) {
        Some(fixed) => {
            let words = [
                fixed.event_type.as_ref().map(|event_type| format!("type `{event_type}`")),
                fixed
                    .severity
                    .filter(|_| what == "severity")
                    .map(|severity| format!("severity `{severity}`")),
            ];
            let words: Vec<String> = words.into_iter().flatten().collect();
            format!("all events of source `{source}` have {}", words.join(" and "))
        }
        None => format!("no event of source `{source}` has it"),
    };
    let problem = Problem::warning(format!("`{}` matches no event", entry.path));
    notes.add(problem.at(entry.span.clone(), label).help(match source == OWN_SOURCE {
        true => format!(
            "the daemon's own events have the types {}",
            AlarmKind::ALL.map(AlarmKind::as_str).join(", ")
        ),
        false => format!("the sender of a source says where the {what} of its events is"),
    }));
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
