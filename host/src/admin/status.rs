//! How the daemon is: one sentence, then a row a source and a target.

use super::wire::{SourceStatus, Status, TargetStatus};
use super::{Inner, TargetView};
use crate::model::Timestamp;
use crate::store::{Full, HoldKind, Rebuilding};

pub(super) fn status(inner: &Inner) -> Status {
    let view = inner.view();
    let targets: Vec<_> = view.targets.iter().map(|target| of_target(inner, target)).collect();
    let history = inner.feed.history();
    let sources = view.sources.iter().map(|source| SourceStatus {
        name: source.name.to_string(),
        address: source.address.clone(),
        last_event: history.last_stored_ms(&source.name).map(time),
        refused: history.refusals(Some(&source.name)).len(),
    });
    let (mut state, mut well) = sentence(&targets);
    if let Some(full) = inner.queue.full() {
        well = false;
        let Full { reason, refused, .. } = full;
        state = format!("requests are refused ({refused} so far): {reason}; {state}");
    }
    let reload = inner.reload.last();
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
             that came meanwhile may be repetitions"
        ));
    }
    Status { state, well, sources: sources.collect(), targets, reload }
}

pub(super) fn time(ms: u64) -> String {
    Timestamp::from_millis(ms).to_string()
}

fn of_target(inner: &Inner, target: &TargetView) -> TargetStatus {
    let depth = inner.queue.depth(target.number);
    let (delivered_ms, _) = inner.feed.history().target(&target.name);
    let (kind, state) = state(inner, target);
    TargetStatus {
        name: target.name.to_string(),
        state,
        kind: kind.to_owned(),
        pending: depth.pending,
        retrying: depth.retrying,
        dead: depth.dead,
        last_delivery: delivered_ms.map(time),
    }
}

/// How a target is: in one word, and in words.
pub(super) fn state(inner: &Inner, target: &TargetView) -> (&'static str, String) {
    let (_, condition) = inner.feed.history().target(&target.name);
    if !target.enabled {
        ("disabled", "disabled in the configuration".to_owned())
    } else if let Some(hold) = inner.queue.held(target.number) {
        let (kind, word) = match hold.kind {
            HoldKind::Paused => ("paused", "paused by hand"),
            HoldKind::Broken => ("broken", "broken; mend it, then resume"),
        };
        let reason = if hold.reason.is_empty() { "" } else { ": " };
        (kind, format!("{word} since {}{reason}{}", hold.since, hold.reason))
    } else if let Some(condition) = condition {
        ("failing", condition)
    } else {
        ("works", "works".to_owned())
    }
}

/// The state in one sentence, and whether nothing needs a person.
fn sentence(targets: &[TargetStatus]) -> (String, bool) {
    let enabled: Vec<_> = targets.iter().filter(|target| target.kind != "disabled").collect();
    let bad: Vec<_> = enabled.iter().filter(|target| target.kind != "works").collect();
    let pending: u64 = targets.iter().map(|target| target.pending).sum();
    let dead: u64 = targets.iter().map(|target| target.dead).sum();
    let waiting = match pending {
        0 => "nothing waits".to_owned(),
        1 => "1 delivery waits".to_owned(),
        n => format!("{n} deliveries wait"),
    };
    let letters = match dead {
        0 => String::new(),
        1 => "; 1 dead letter (see `dispatcher dead list`)".to_owned(),
        n => format!("; {n} dead letters (see `dispatcher dead list`)"),
    };
    let (well, state) = match (bad.as_slice(), enabled.len()) {
        ([], 0) => (true, "there is no enabled target".to_owned()),
        ([], 1) => (true, "the target works".to_owned()),
        ([], n) => (true, format!("all {n} targets work")),
        ([one], _) => (false, format!("target {} needs a look ({})", one.name, one.kind)),
        (many, n) => (false, format!("{} of {n} targets need a look", many.len())),
    };
    (format!("{state}; {waiting}{letters}"), well && dead == 0)
}
