//! `[targets.NAME]`: where events go and how they are delivered.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

use super::naming::{named, unknown};
use super::problem::Problem;
use super::reader::{Entry, Notes, Table};
use super::reference::Resolver;
use super::route::Routable;
use super::target::TargetConfig;
use super::{limits, retry, route, settings};
use crate::deliver;
use crate::route::TargetRoute;

/// Most targets.
const TARGETS_MAX: usize = 1_000;
/// Most events per call.
const BATCH_MAX: u64 = 1_000;
/// Most concurrent calls of one target.
const CONCURRENCY_MAX: u64 = 256;
/// Limits of the time for one attempt.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(10 * 60);
/// Limits of the time between two messages of a digest.
const DIGEST_EVERY: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);

/// Values of `overflow`: whether to give up the oldest deliveries when the log is full.
const OVERFLOW: [(&str, bool); 2] = [("refuse", false), ("drop-oldest-to-dead", true)];

/// Reads every target, in the order of the file. `sources` are the names that a route may use.
pub(super) fn read(
    table: &Table<'_>,
    sources: &Routable<'_>,
    resolver: &Resolver<'_>,
    notes: &Notes,
) -> Vec<TargetConfig> {
    let mut targets = Vec::new();
    for (name, entry) in named(table, "target", TARGETS_MAX, notes) {
        if let Some(table) = entry.table(notes) {
            targets.push(target(name, table, sources, resolver, notes));
        }
    }
    targets
}

fn target(
    name: &str,
    mut table: Table<'_>,
    sources: &Routable<'_>,
    resolver: &Resolver<'_>,
    notes: &Notes,
) -> TargetConfig {
    let name: Arc<str> = Arc::from(name);
    let enabled = table.boolean("enabled", true, notes);
    let (plugin, plugin_place) = plugin(&name, &mut table, notes);
    let rules = table.entry("route").map(|entry| route::rules(&entry, sources, notes));
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
    let timeout = table.duration("timeout", TIMEOUT, notes);
    let policy = table.table("retry", notes).map(|table| retry::policy(table, notes));
    let overflow = table.entry("overflow").is_some_and(|entry| overflow(&entry, notes));
    let allow = table.entry("allow").map(|entry| limits::ranges(&entry, notes)).unwrap_or_default();
    let settings_entry = table.entry("settings");
    // The secrets of a disabled target need not be set yet.
    let settings = settings::read(settings_entry.as_ref(), &table.place, enabled, resolver, notes);
    table.finish(notes, |key| {
        Some(match key {
            "sources" | "types" | "severity" => {
                format!("`{key}` belongs to the route: write route.{key}")
            }
            "give_up_after" | "backoff_min" | "backoff_max" | "attempts_max" | "maybe_sent" => {
                format!("write retry.{key}")
            }
            "every" | "by" => format!("write digest.{key}"),
            _ => format!("for a setting of the plugin, write settings.{key}"),
        })
    });
    TargetConfig {
        route: TargetRoute { name: Arc::clone(&name), enabled, rules: rules.unwrap_or_default() },
        name,
        enabled,
        plugin,
        plugin_place,
        settings,
        allow,
        batch_max: batch_max.map_or(deliver::Settings::BATCH_MAX_DEFAULT, count),
        concurrency: concurrency.map(count),
        timeout: timeout.unwrap_or(deliver::Settings::TIMEOUT_DEFAULT),
        policy: policy.unwrap_or_default(),
        overflow,
        digest,
        digest_place,
    }
}

fn overflow(entry: &Entry<'_>, notes: &Notes) -> bool {
    let Some(word) = entry.string(notes) else { return false };
    let known = OVERFLOW.iter().find(|(name, _)| *name == word);
    if known.is_none() {
        let title = format!("`{}` must be \"refuse\" or \"drop-oldest-to-dead\"", entry.path);
        let help =
            "it decides what happens to this target's oldest deliveries when the log is full";
        entry.refuse(notes, &title, "unknown value", help);
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
        let problem = Problem::error(format!("`{path}` needs `every`"));
        let problem = problem.at(place, "`every` is missing").absence("every");
        notes.add(problem.help(format!("write {path}.every = \"5m\"")));
    }
    Some(deliver::DigestSettings { every: every?, by })
}

/// A checked value as a count. The limits above fit into `usize`.
fn count(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// The plugin's name and where it is in the file.
fn plugin(target: &str, table: &mut Table<'_>, notes: &Notes) -> (String, Range<usize>) {
    let Some(entry) = table.entry("plugin") else {
        let problem = Problem::error(format!("target `{target}` needs `plugin`"));
        let problem = problem.at(table.place.clone(), "`plugin` is missing").absence("plugin");
        notes
            .add(problem.help("write plugin = \"NAME\"; `dispatcher plugin list` lists the names"));
        return (String::new(), table.place.clone());
    };
    let name = entry.string(notes).unwrap_or_default();
    (name.to_owned(), entry.span)
}
