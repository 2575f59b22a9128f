//! Reports what happens at one target: to the log, the feed, the history and the alarms.

use std::sync::Arc;
use std::time::Duration;

use super::log_lines::LogLines;
use crate::model::{Delivery, OWN_SOURCE, Timestamp, Verdict};
use crate::retry::{Cause, Change};
use crate::store::StoreError;
use crate::telemetry::{AlarmKind, Attempt, Feed, Note};

/// Reports about one target.
pub(super) struct Reporter {
    target: Arc<str>,
    feed: Feed,
    pub(super) log: LogLines,
    /// An alarm said that the target is down or broken.
    alarmed: bool,
}

impl Reporter {
    pub(super) fn new(target: Arc<str>, feed: Feed) -> Self {
        let log = LogLines::new(Arc::clone(&target));
        Self { target, feed, log, alarmed: false }
    }

    /// The target starts: the condition of an earlier instance no longer applies.
    pub(super) fn started(&self) {
        self.feed.history().condition(&self.target, None);
    }

    /// One attempt at one delivery. Only the feed, which must hear of every attempt.
    pub(super) fn attempt(&self, delivery: &Delivery, verdict: &Verdict, took: Duration) {
        self.feed.send(|| {
            let (target, event) = (Arc::clone(&self.target), delivery.event.id.to_string());
            let attempt = delivery.attempt;
            match verdict {
                Ok(_) => Note::Delivered { target, event, attempt, took },
                Err(failure) => {
                    Note::Failed { target, event, attempt, reason: failure.reason.clone() }
                }
            }
        });
    }

    /// A call delivered at least one event.
    pub(super) fn delivered(&self, now: Timestamp) {
        self.feed.history().delivered(&self.target, now.as_millis());
    }

    /// Keeps a failed attempt in the history.
    pub(super) fn record_failure(&self, delivery: &Delivery, verdict: &Verdict, now: Timestamp) {
        let Err(failure) = verdict else { return };
        let attempt = Attempt {
            at_ms: now.as_millis(),
            event: delivery.event.id.to_string(),
            attempt: delivery.attempt,
            verdict: failure.kind.as_str(),
            reason: failure.reason.clone(),
        };
        self.feed.history().failed(&self.target, attempt);
    }

    /// The circuit breaker opened or closed. `own`: it happened while delivering the daemon's own events, which
    /// raises no alarm, because an alarm is itself such an event.
    pub(super) fn changed(&mut self, change: Change, reason: &str, own: bool) {
        self.log.changed(change, reason);
        let condition = match change {
            Change::Held(cause) => Some(condition(cause, reason)),
            Change::Recovered { .. } => None,
        };
        self.feed.history().condition(&self.target, condition);
        match change {
            Change::Held(Cause::Throttled) => {}
            Change::Held(_) if own => {}
            Change::Held(cause) => {
                self.alarmed = true;
                let broken = cause == Cause::Broken;
                let kind = if broken { AlarmKind::TargetBroken } else { AlarmKind::TargetDown };
                self.alarm(kind, 1, reason);
            }
            Change::Recovered { held_for } => {
                if std::mem::take(&mut self.alarmed) {
                    let after = format!("after {} s", held_for.as_secs());
                    self.alarm(AlarmKind::TargetRecovered, 1, &after);
                }
            }
        }
    }

    /// A delivery became a dead letter.
    pub(super) fn dead(&mut self, delivery: &Delivery, reason: &str) {
        self.log.dead(delivery.event.id, delivery.attempt, reason);
        if &*delivery.event.source != OWN_SOURCE {
            self.alarm(AlarmKind::DeadLetter, 1, reason);
        }
    }

    /// `count` deliveries that were never attempted became dead letters.
    pub(super) fn expired(&mut self, count: u64, reason: &str) {
        self.log.expired(count, reason);
        self.alarm(AlarmKind::DeadLetter, count, reason);
    }

    /// The store could not do `what`.
    pub(super) fn store_failed(&mut self, what: &str, error: &StoreError) {
        self.log.store_failed(what, error);
    }

    pub(super) fn alarm(&self, kind: AlarmKind, count: u64, reason: &str) {
        self.feed.alarms().raise(kind, &self.target, count, reason);
    }
}

/// Why the circuit breaker is open, for `status`.
fn condition(cause: Cause, reason: &str) -> String {
    match cause {
        Cause::Failing => format!("down, probing: {reason}"),
        Cause::Throttled => format!("throttled: {reason}"),
        Cause::Broken => format!("broken: {reason}"),
    }
}
