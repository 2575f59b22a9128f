//! What a valid configuration does, at a glance: sources and targets, addresses, retries, home.

use std::time::Duration;

use crate::config::{Config, TargetConfig, show_rate};
use crate::ingest::{Repeat, SourceSettings};
use crate::model::{Cidr, OWN_SOURCE};
use crate::retry::{SCHEDULE_WAITS_MAX, schedule};
use crate::route::Rule;
use crate::store::REPEAT_WINDOW_DEFAULT;
use crate::verify::{Proof, Replay};

/// Most targets side by side; more come below.
const COLUMNS_MAX: usize = 6;
/// Waits that are shown before `…`.
const WAITS_SHOWN: usize = 3;
/// Ranges of addresses that are shown; the rest is counted.
const RANGES_SHOWN: usize = 3;

/// The last line has no line break.
pub(super) fn render(config: &Config) -> String {
    let mut lines = Vec::new();
    // The addresses are shown even without a target.
    let blocks = config.targets.chunks(COLUMNS_MAX).collect::<Vec<_>>();
    let blocks = if blocks.is_empty() { vec![&[][..]] } else { blocks };
    if !config.ingest.sources.is_empty() {
        for (block, targets) in blocks.into_iter().enumerate() {
            lines.extend(rows(config, targets, block == 0));
            lines.push(String::new());
        }
    }
    if config.public_url.is_none() && config.server.listen.ip().is_unspecified() {
        lines.push(
            "  HOST: the name of this machine for senders; or set server.public_url".to_owned(),
        );
    }
    lines.extend(notes(config));
    lines.extend(config.ingest.sources.iter().filter_map(limits));
    lines.extend(proxies(config));
    lines.extend(retries(&config.targets));
    lines.extend(own_events(config));
    lines.push(format!("  home: {}   (relative paths start there)", config.home.display()));
    lines.join("\n")
}

/// A head, and a row for each source, and for the daemon's own events if a target gets them; the first block has
/// the addresses.
fn rows(config: &Config, targets: &[TargetConfig], addresses: bool) -> Vec<String> {
    let mut table: Vec<Vec<String>> = Vec::new();
    let mut head = vec![String::new()];
    head.extend(targets.iter().map(|target| target.name.to_string()));
    if addresses {
        head.push("paste this address".to_owned());
    }
    table.push(head);
    for source in &config.ingest.sources {
        let mut row = vec![source.name.to_string()];
        row.extend(targets.iter().map(|target| cell(target, &source.name)));
        if addresses {
            row.push(config.address(source));
        }
        table.push(row);
    }
    if routes_own_events(config) {
        let mut row = vec![OWN_SOURCE.to_owned()];
        row.extend(targets.iter().map(|target| cell(target, OWN_SOURCE)));
        if addresses {
            row.push("(the daemon's own events)".to_owned());
        }
        table.push(row);
    }
    let columns = table[0].len();
    let widths: Vec<usize> = (0..columns)
        .map(|column| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("  {}", cells.collect::<Vec<_>>().join("   ")).trim_end().to_owned()
    };
    table.iter().map(line).collect()
}

/// Which rules of a target may match events of a source.
fn cell(target: &TargetConfig, source: &str) -> String {
    if !target.enabled {
        return "off".to_owned();
    }
    let rules = &target.route.rules;
    if target.route.takes_all_of(Some(source)) {
        return "all".to_owned();
    }
    let numbers: Vec<String> = rules
        .iter()
        .zip(1..)
        .filter(|(rule, _)| rule.is_for(Some(source)))
        .map(|(_, number): (_, usize)| number.to_string())
        .collect();
    match (numbers.len(), rules.len()) {
        (0, _) => "-".to_owned(),
        (_, 1) => "rule".to_owned(),
        _ => format!("rule {}", numbers.join(",")),
    }
}

/// Whether a target gets some events of source `dispatcher`.
fn routes_own_events(config: &Config) -> bool {
    let names_it =
        |target: &TargetConfig| target.enabled && target.route.rules.iter().any(Rule::gets_alarms);
    config.targets.iter().any(names_it)
}

/// The note that no target gets the daemon's own events.
fn own_events(config: &Config) -> Option<String> {
    let unheard = !config.targets.is_empty() && !routes_own_events(config);
    unheard.then(|| {
        "  alarms: no target gets the daemon's own events; route them with sources = [\"dispatcher\"]"
            .to_owned()
    })
}

/// What a person should know about how sources are verified.
fn notes(config: &Config) -> Vec<String> {
    let mut lines = Vec::new();
    for source in &config.ingest.sources {
        let scheme = source.verifier.scheme();
        let mut note = |text: &str| lines.push(format!("  {}: {text}", source.name));
        if scheme.unconfirmed {
            note(&format!(
                "scheme `{}` is unconfirmed: only second-hand sources describe it; try it before you \
                 rely on it",
                scheme.name
            ));
        }
        match scheme.replay() {
            Replay::OriginOnly => {
                note("the origin is verified, but the signature does not cover the content");
            }
            Replay::Open if scheme.proof == Proof::None => note("nothing is verified"),
            Replay::Open if scheme.jwt().is_some() => {
                note(
                    "the token proves who sent, not what: anyone who sees one can send others until it expires",
                );
            }
            Replay::Open => note("a plain secret: anyone who sees one request can send others"),
            Replay::Id | Replay::Window | Replay::SignedBytes | Replay::Fields | Replay::Values => {
            }
        }
    }
    lines
}

/// From where and how often a source takes requests, and when its silence raises an alarm; `None` if it has
/// no limit.
fn limits(source: &SourceSettings) -> Option<String> {
    let mut parts = Vec::new();
    if !source.allow.is_empty() {
        parts.push(format!("from {} only", some(&source.allow)));
    }
    if !source.rates.is_empty() {
        let rates = source.rates.iter().map(|rate| show_rate(rate.count, rate.per));
        parts.push(format!("at most {}", rates.collect::<Vec<_>>().join(" and ")));
    }
    match source.repeat {
        Repeat::Deliver => parts.push("repetitions are delivered".to_owned()),
        Repeat::Skip { window } if window != REPEAT_WINDOW_DEFAULT => {
            parts.push(format!("repetitions are recognized for {}", show(window)));
        }
        Repeat::Skip { .. } => {}
    }
    if let Some(after) = source.silent_after {
        parts.push(format!("alarm after {} of silence", show(after)));
    }
    (!parts.is_empty()).then(|| format!("  limits: {} {}", source.name, parts.join("; ")))
}

/// The proxies whose X-Forwarded-For is trusted.
fn proxies(config: &Config) -> Option<String> {
    let server = &config.server;
    let how = if server.proxy_protocol {
        "the PROXY protocol, then X-Forwarded-For or Forwarded"
    } else {
        "X-Forwarded-For or Forwarded"
    };
    let trusted = some(&server.trusted_proxies);
    (!server.trusted_proxies.is_empty()).then(|| format!("  proxies: {trusted} by {how}"))
}

/// The first ranges, and how many more there are.
fn some(ranges: &[Cidr]) -> String {
    let shown = ranges.iter().take(RANGES_SHOWN).map(ToString::to_string);
    let shown = shown.collect::<Vec<_>>().join(", ");
    match ranges.len().saturating_sub(RANGES_SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A line for each retry schedule, with its targets.
fn retries(targets: &[TargetConfig]) -> Vec<String> {
    let mut lines: Vec<(String, Vec<&str>)> = Vec::new();
    for target in targets {
        let text = retry(target);
        match lines.iter_mut().find(|(known, _)| *known == text) {
            Some((_, names)) => names.push(&target.name),
            None => lines.push((text, vec![&target.name])),
        }
    }
    lines.iter().map(|(text, names)| format!("  retries: {} {text}", names.join(", "))).collect()
}

/// `1s 2s 4s … gives up after 2h (about 13 attempts)`.
fn retry(target: &TargetConfig) -> String {
    let waits = schedule(&target.policy);
    if waits.is_empty() {
        return "none, one attempt".to_owned();
    }
    let shown: Vec<String> = waits.iter().take(WAITS_SHOWN).map(|wait| show(*wait)).collect();
    let dots = if waits.len() > WAITS_SHOWN { " …" } else { "" };
    let more = if waits.len() == SCHEDULE_WAITS_MAX { "over" } else { "about" };
    let attempts = waits.len() + 1;
    let limited = target.policy.attempts_max.is_some_and(|max| max as usize == attempts);
    let end = if limited {
        format!("gives up after {attempts} attempts")
    } else {
        let after = show(target.policy.give_up_after);
        format!("gives up after {after} ({more} {attempts} attempts)")
    };
    format!("{}{dots} {end}", shown.join(" "))
}

/// As in the configuration: `90s`, `2h`.
fn show(duration: Duration) -> String {
    crate::config::show_duration(duration)
}
