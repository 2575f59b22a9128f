//! `[targets.NAME]`: where events go, which of them, and how they are delivered.

use std::sync::Arc;
use std::time::Duration;

use super::near::{list, near};
use super::problem::Problem;
use super::reader::{Entry, Notes, Table};
use super::reference::Resolver;
use super::sources::unknown;
use super::{TargetConfig, check_name, limits, settings};
use crate::deliver;
use crate::model::Severity;
use crate::retry::{BACKOFF_MIN, MaybeSent, Policy};
use crate::route::{Rule, TargetRoute, TypePattern};

/// Most targets.
const TARGETS_MAX: usize = 1_000;
/// Most events a call.
const BATCH_MAX: u64 = 1_000;
/// Most calls of one target at the same time.
const CONCURRENCY_MAX: u64 = 256;
/// Limits of one attempt's time.
const TIMEOUT_MIN: Duration = Duration::from_millis(100);
const TIMEOUT_MAX: Duration = Duration::from_secs(10 * 60);
/// Longest time and longest wait of retries.
const GIVE_UP_AFTER_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const BACKOFF_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Limits of the time between two messages of a digest.
const DIGEST_EVERY: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);
const ATTEMPTS_MAX: u64 = 1_000_000;

/// Keys of a target, which are easily written among the settings of its plugin.
pub(super) const KEYS: [&str; 11] = [
    "enabled",
    "plugin",
    "route",
    "batch",
    "digest",
    "concurrency",
    "timeout",
    "retry",
    "overflow",
    "allow",
    "settings",
];

/// Words of `retry.maybe_sent`.
const MAYBE_SENT: [(&str, MaybeSent); 2] =
    [("retry", MaybeSent::Retry), ("dead-letter", MaybeSent::DeadLetter)];

/// Words of `overflow`: whether the oldest deliveries are given up when the log is full.
const OVERFLOW: [(&str, bool); 2] = [("refuse", false), ("drop-oldest-to-dead", true)];

/// Reads every target, in the order of the file. `sources` are the names that a route may use.
pub(super) fn read(
    table: &Table<'_>,
    sources: &[&str],
    resolver: &Resolver<'_>,
    notes: &Notes,
) -> Vec<TargetConfig> {
    let mut targets = Vec::new();
    for (index, (name, entry)) in table.all().into_iter().enumerate() {
        if index == TARGETS_MAX {
            let problem = Problem::error(format!("there are more than {TARGETS_MAX} targets"));
            notes.add(problem.at(entry.key, "one too many"));
            break;
        }
        check_name("target", name, &entry, notes);
        if let Some(table) = entry.table(notes) {
            targets.push(target(name, table, sources, resolver, notes));
        }
    }
    targets
}

fn target(
    name: &str,
    mut table: Table<'_>,
    sources: &[&str],
    resolver: &Resolver<'_>,
    notes: &Notes,
) -> TargetConfig {
    let name: Arc<str> = Arc::from(name);
    let enabled = table.boolean("enabled", true, notes);
    let (plugin, plugin_place) = plugin(&name, &mut table, notes);
    let rules = table.entry("route").map(|entry| rules(&entry, sources, notes)).unwrap_or_default();
    let batch = table.table("batch", notes);
    let batch_max = batch.and_then(|mut batch| {
        let max = batch.integer("max", 1..=BATCH_MAX, notes);
        batch.finish(notes, |_| None);
        max
    });
    let digest = table.entry("digest");
    let digest_place = digest.as_ref().map_or(0..0, |entry| entry.key.clone());
    let digest = digest.and_then(|entry| digest_settings(entry.table(notes)?, notes));
    let concurrency = table.integer("concurrency", 1..=CONCURRENCY_MAX, notes);
    let timeout = table.duration("timeout", TIMEOUT_MIN..=TIMEOUT_MAX, notes);
    let policy = table.table("retry", notes).map(|retry| policy(retry, notes)).unwrap_or_default();
    let overflow = table.entry("overflow").is_some_and(|entry| overflow(&entry, notes));
    let allow = table.entry("allow").map(|entry| limits::ranges(&entry, notes)).unwrap_or_default();
    let settings_entry = table.entry("settings");
    // A disabled target may wait for its secrets.
    let settings = settings::read(settings_entry.as_ref(), &table.place, enabled, resolver, notes);
    table.finish(notes, |key| {
        Some(match key {
            "sources" | "types" | "severity" => {
                format!("it belongs to the route: write route.{key}")
            }
            "give_up_after" | "backoff_min" | "backoff_max" | "attempts_max" | "maybe_sent" => {
                format!("write retry.{key}")
            }
            "every" | "by" => format!("write digest.{key}"),
            _ => format!("if it is a setting of the plugin, write settings.{key}"),
        })
    });
    TargetConfig {
        route: TargetRoute { name: Arc::clone(&name), enabled, rules },
        name,
        enabled,
        plugin,
        plugin_place,
        settings,
        allow,
        batch_max: batch_max.map_or(deliver::Settings::BATCH_MAX_DEFAULT, count),
        concurrency: concurrency.map(count),
        timeout: timeout.unwrap_or(deliver::Settings::TIMEOUT_DEFAULT),
        policy,
        overflow,
        digest,
        digest_place,
    }
}

fn overflow(entry: &Entry<'_>, notes: &Notes) -> bool {
    let Some(word) = entry.string(notes) else { return false };
    let known = OVERFLOW.iter().find(|(name, _)| *name == word);
    if known.is_none() {
        let words = list(OVERFLOW.iter().map(|(name, _)| *name));
        let title = format!("`{}` is neither of its two words", entry.path);
        let help = "it says what happens to this target's oldest deliveries when the log is full";
        entry.refuse(notes, &title, &format!("write one of: {words}"), help);
    }
    known.is_some_and(|(_, drops)| *drops)
}

fn digest_settings(mut table: Table<'_>, notes: &Notes) -> Option<deliver::DigestSettings> {
    let path = table.path.clone();
    let place = table.place.clone();
    let every = table.entry("every");
    let written = every.is_some();
    let every = every.and_then(|entry| entry.duration(&DIGEST_EVERY, notes));
    let by = table.entry("by").map(|entry| entry.one_or_more(notes)).unwrap_or_default();
    let by = by.iter().filter_map(|entry| {
        let word = entry.string(notes)?;
        let mut all = deliver::Attribute::ALL.into_iter();
        let known = all.find(|(name, _)| *name == word).map(|(_, attribute)| attribute);
        if known.is_none() {
            let names = || deliver::Attribute::ALL.iter().map(|(name, _)| *name);
            unknown(entry, "attribute", "attributes", word, names(), notes);
        }
        known
    });
    let by = by.collect();
    table.finish(notes, |_| None);
    if !written {
        let problem = Problem::error(format!("`{path}` does not say how often"));
        notes.add(
            problem.at(place, "no `every`").absence().help(format!("write {path}.every = \"5m\"")),
        );
    }
    Some(deliver::DigestSettings { every: every?, by })
}

/// A checked limit as a count; the limits above fit.
fn count(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn plugin(target: &str, table: &mut Table<'_>, notes: &Notes) -> (String, std::ops::Range<usize>) {
    let Some(entry) = table.entry("plugin") else {
        let problem = Problem::error(format!("target `{target}` has no plugin"));
        let problem = problem.at(table.place.clone(), "no `plugin`").absence();
        notes
            .add(problem.help("write plugin = \"NAME\"; `dispatcher plugin list` shows the names"));
        return (String::new(), table.place.clone());
    };
    let name = entry.string(notes).unwrap_or_default();
    (name.to_owned(), entry.span)
}

/// A table or a list of tables, any of which may match.
fn rules(entry: &Entry<'_>, sources: &[&str], notes: &Notes) -> Vec<Rule> {
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
            "would match every event",
            "for every event, leave `route` out",
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
    let types = table.entry("types").map(|entry| entry.one_or_more(notes)).unwrap_or_default();
    let types = types.iter().filter_map(|entry| {
        let read = entry.string(notes)?.parse::<TypePattern>();
        let title = format!("`{}` is no pattern of types", entry.path);
        read.map_err(|error| entry.refuse(notes, &title, &error.to_string(), "")).ok()
    });
    let types = types.collect();
    let severity = table.entry("severity").and_then(|entry| {
        let word = entry.string(notes)?;
        let severity = Severity::from_word(word);
        if severity.is_none() {
            let help = "; the one written is the least that matches";
            unknown_severity(&entry, word, help, notes);
        }
        severity
    });
    table.finish(notes, |_| None);
    Rule { sources, types, severity }
}

/// Names them from worst to harmless; `more` is said behind that.
pub(super) fn unknown_severity(entry: &Entry<'_>, word: &str, more: &str, notes: &Notes) {
    let words: Vec<&str> = Severity::ALL.iter().rev().map(|severity| severity.as_str()).collect();
    let label = match near(word, words.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "no such severity".to_owned(),
    };
    let help = format!("severities are {}{more}", words.join(", "));
    entry.refuse(notes, &format!("unknown severity `{word}`"), &label, &help);
}

fn policy(mut table: Table<'_>, notes: &Notes) -> Policy {
    let default = Policy::default();
    let time = Duration::ZERO..=GIVE_UP_AFTER_MAX;
    let wait = BACKOFF_MIN..=BACKOFF_MAX;
    let path = table.path.clone();
    let maybe_sent = table.entry("maybe_sent").and_then(|entry| {
        let word = entry.string(notes)?;
        let known = MAYBE_SENT.iter().find(|(name, _)| *name == word).map(|(_, value)| *value);
        if known.is_none() {
            let words = list(MAYBE_SENT.iter().map(|(name, _)| *name));
            let title = format!("`{path}.maybe_sent` is neither of its two words");
            entry.refuse(notes, &title, &format!("write one of: {words}"), "");
        }
        known
    });
    let waits = ["backoff_min", "backoff_max"].map(|key| table.entry(key).map(|entry| entry.span));
    let place = waits.into_iter().flatten().next().unwrap_or_else(|| table.place.clone());
    let give_up_after = table.duration("give_up_after", time, notes);
    let backoff_min = table.duration("backoff_min", wait.clone(), notes);
    let backoff_max = table.duration("backoff_max", wait, notes);
    let attempts_max = table.integer("attempts_max", 1..=ATTEMPTS_MAX, notes);
    table.finish(notes, |_| None);
    let policy = Policy {
        give_up_after: give_up_after.unwrap_or(default.give_up_after),
        // One of the two alone moves the other along, so that the pair stays in order.
        backoff_min: backoff_min
            .unwrap_or(default.backoff_min.min(backoff_max.unwrap_or(default.backoff_min))),
        backoff_max: backoff_max
            .unwrap_or(default.backoff_max.max(backoff_min.unwrap_or(default.backoff_max))),
        attempts_max: attempts_max.and_then(|max| u32::try_from(max).ok()),
        maybe_sent: maybe_sent.unwrap_or(default.maybe_sent),
    };
    if let Err(error) = policy.validate() {
        notes.add(Problem::error(format!("`{path}`: {error}")).at(place, ""));
    }
    policy
}
