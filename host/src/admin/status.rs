//! The state of the daemon in one sentence, then every source and target.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::COUNTERS_MAX;
use super::condition::condition;
use super::view::{Inner, SourceView, TargetView};
use super::wire::{Condition, SourceStatus, Status, TargetStatus};
use crate::model::{Timestamp, counted};
use crate::store::{Full, Rebuilding};
use crate::telemetry::{LOG_QUEUE, Shortage, TargetHistory};

/// A refusal for lack of room needs attention for so long.
const OVERLOAD_NOW: Duration = Duration::from_secs(60);

pub(super) fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

pub(super) fn time(ms: u64) -> String {
    Timestamp::from_millis(ms).to_string()
}

pub(super) fn status(inner: &Inner) -> Status {
    let view = inner.view();
    let targets: Vec<_> = inner.targets().iter().map(|target| of_target(inner, target)).collect();
    let history = inner.feed.history();
    let sources = view.sources.iter().map(|source| SourceStatus {
        name: source.name.to_string(),
        address: source.address.clone(),
        last_event: history.last_event_ms(&source.name).map(time),
        refused: history.refused_count(&source.name),
        duplicates: history.duplicates(&source.name),
        unusable: source.unusable.as_deref().map(str::to_owned),
    });
    let (mut state, mut well) = summary(&targets);
    if let Some(Full { reason, refused, .. }) = inner.queue.full() {
        well = false;
        state = format!("requests are refused ({refused} so far): {reason}; {state}");
    }
    for SourceView { name, unusable, .. } in &view.sources {
        let Some(reason) = unusable else { continue };
        well = false;
        state = format!("source {name} refuses every request: {reason}; {state}");
    }
    let config = inner.host.in_force();
    let reload = inner.host.last_reload();
    if reload.as_ref().is_some_and(|reload| reload.refused.is_some()) {
        well = false;
        state.push_str("; the last reload was refused");
    }
    if let Some(damage) = inner.queue.damage() {
        well = false;
        state.push_str(&format!("; {damage} (see `dispatcher store check`)"));
    }
    if let Some(Rebuilding { progress, unchecked }) = inner.queue.rebuilding() {
        well = false;
        state.push_str(&format!(
            "; {progress}: retries, digests in progress and dead letters wait for it; {unchecked} events \
             received meanwhile may be repetitions"
        ));
    }
    let dropped = LOG_QUEUE.dropped();
    if dropped.all > 0 {
        // Once a line gets through, the log itself says how many are missing.
        well &= dropped.unreported == 0;
        state.push_str(&format!(
            "; {} log lines were dropped: standard error did not take them",
            dropped.all
        ));
    }
    let Shortages { counts: overload, last: last_overload, text, now } = shortages(inner);
    well &= !now;
    state.push_str(&text);
    let (log_lines_dropped, sources) = (dropped.all, sources.collect());
    Status {
        state,
        well,
        sources,
        targets,
        config,
        reload,
        overload,
        last_overload,
        log_lines_dropped,
    }
}

/// What was refused for lack of room.
#[derive(Default)]
struct Shortages {
    counts: BTreeMap<String, u64>,
    last: Option<(String, String)>,
    text: String,
    /// It happened within [`OVERLOAD_NOW`].
    now: bool,
}

fn shortages(inner: &Inner) -> Shortages {
    let overload = inner.feed.overload();
    let Some((last_ms, last)) = overload.last() else { return Shortages::default() };
    let counts = Shortage::ALL.map(|shortage| (shortage, overload.count(shortage)));
    let some = counts.into_iter().filter(|(_, count)| *count > 0);
    let named: Vec<_> =
        some.clone().map(|(shortage, count)| format!("{}: {count}", words(shortage))).collect();
    let is_recent = |at_ms| now().since(Timestamp::from_millis(at_ms)) < OVERLOAD_NOW;
    Shortages {
        counts: some.map(|(shortage, count)| (shortage.as_str().to_owned(), count)).collect(),
        last: Some((time(last_ms), last.as_str().to_owned())),
        text: format!(
            "; refused for lack of room since the start: {}; the last at {} ({})",
            named.join(", "),
            time(last_ms),
            words(last)
        ),
        now: Shortage::ALL.into_iter().any(|shortage| {
            // A rate limit does what a person has set.
            shortage != Shortage::Rate && overload.last_of(shortage).is_some_and(is_recent)
        }),
    }
}

const fn words(shortage: Shortage) -> &'static str {
    match shortage {
        Shortage::Connections => "connections (server.connections_max)",
        Shortage::BytesInFlight => "bodies in flight (server.in_flight_max)",
        Shortage::Disk => "requests that wait for the disk",
        Shortage::Rate => "the rate limit of a source",
    }
}

fn of_target(inner: &Inner, target: &TargetView) -> TargetStatus {
    let depth = inner.queue.depth(target.number);
    let TargetHistory { delivered_ms, last_error, .. } = inner.feed.history().target(&target.name);
    let (kind, state) = condition(inner, target);
    TargetStatus {
        name: target.name.to_string(),
        state,
        kind,
        pending: depth.pending,
        retrying: depth.retrying,
        dead: depth.dead,
        last_delivery: delivered_ms.map(time),
        last_error: Some(last_error).filter(|error| !error.is_empty()),
        counters: inner.host.counters(target.number).into_iter().take(COUNTERS_MAX).collect(),
    }
}

/// One sentence, and whether nothing needs attention.
fn summary(targets: &[TargetStatus]) -> (String, bool) {
    let is_idle = |kind| matches!(kind, Condition::Disabled | Condition::Removed);
    let enabled = targets.iter().filter(|target| !is_idle(target.kind)).count();
    // What waits for a disabled target waits for ever.
    let is_forgotten =
        |target: &&TargetStatus| target.kind == Condition::Disabled && target.pending > 0;
    let is_bad = |target: &&TargetStatus| target.kind.needs_attention() || is_forgotten(target);
    let bad: Vec<_> = targets.iter().filter(is_bad).collect();
    let pending: u64 = targets.iter().map(|target| target.pending).sum();
    let dead: u64 = targets.iter().map(|target| target.dead).sum();
    let backlog = match pending {
        0 => "no deliveries wait".to_owned(),
        n => counted(n, "delivery waits", "deliveries wait"),
    };
    let letters = match dead {
        0 => String::new(),
        n => {
            format!("; {} (see `dispatcher dead list`)", counted(n, "dead letter", "dead letters"))
        }
    };
    let of_kind = |kind| targets.iter().filter(move |target| target.kind == kind);
    let unproven: Vec<_> = of_kind(Condition::NotProven).collect();
    let unused = of_kind(Condition::Unknown).count();
    let unknown = match unused {
        0 => String::new(),
        1 => "; 1 target was not used since it started".to_owned(),
        n => format!("; {n} targets were not used since they started"),
    };
    let state = match (bad.as_slice(), enabled) {
        ([], n) if !unproven.is_empty() => match unproven.as_slice() {
            [one] => format!("target {} is not proven", one.name),
            many => format!("{} of {n} targets are not proven", many.len()),
        },
        ([], 0) => "no target is enabled".to_owned(),
        // What was never tried is not said to work.
        ([], 1) if unused == 1 => "1 target, not proven yet".to_owned(),
        ([], n) if unused == n => format!("{n} targets, none proven yet"),
        ([], 1) => "the target works".to_owned(),
        ([], n) if unused == 0 => format!("all {n} targets work"),
        ([], n) => match n - unused {
            1 => format!("1 of {n} targets works"),
            work => format!("{work} of {n} targets work"),
        },
        ([one], _) => format!("target {} needs attention ({})", one.name, one.kind.as_str()),
        (many, _) => format!("{} targets need attention", many.len()),
    };
    (format!("{state}; {backlog}{letters}{unknown}"), bad.is_empty() && dead == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disabled_target_needs_attention_while_something_waits_for_it() {
        for (pending, expected) in [
            (0, ("no target is enabled; no deliveries wait", true)),
            (2, ("target t needs attention (disabled); 2 deliveries wait", false)),
        ] {
            let (state, well) = summary(&[TargetStatus { pending, ..target(Condition::Disabled) }]);
            assert_eq!((state.as_str(), well), expected);
        }
    }

    fn target(kind: Condition) -> TargetStatus {
        TargetStatus {
            name: "t".to_owned(),
            state: String::new(),
            kind,
            pending: 0,
            retrying: 0,
            dead: 0,
            last_delivery: None,
            last_error: None,
            counters: BTreeMap::new(),
        }
    }

    #[test]
    fn only_targets_that_were_used_are_said_to_work() {
        use Condition::{Disabled, Failing, NotProven, Unknown, Works};
        for (kinds, expected) in [
            (&[][..], "no target is enabled"),
            (&[Disabled], "no target is enabled"),
            (&[Works], "the target works"),
            (&[Works, Works, Disabled], "all 2 targets work"),
            (&[Unknown], "1 target, not proven yet"),
            (&[Unknown, Unknown, Unknown, Disabled], "3 targets, none proven yet"),
            (&[Works, Unknown, Unknown], "1 of 3 targets works"),
            (&[Works, Works, Unknown], "2 of 3 targets work"),
            (&[NotProven, Unknown], "target t is not proven"),
            (&[Failing, Unknown], "target t needs attention (failing)"),
        ] {
            let targets: Vec<_> = kinds.iter().copied().map(target).collect();
            let (state, _) = summary(&targets);
            assert_eq!(state.split(';').next(), Some(expected), "{kinds:?}");
        }
    }
}
