//! The log lines about one target: its first failure, its circuit breaker, dead letters.
//!
//! Not one line per delivery: lines of one kind are at least [`SPACING`] apart, and say how many were skipped.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::EventId;
use crate::retry::{Cause, Change};
use crate::store::StoreError;

/// Shortest time between two lines of one kind.
const SPACING: Duration = Duration::from_secs(10);

/// Lets one line through in each [`SPACING`] and counts the others.
#[derive(Debug, Default)]
struct Spaced {
    last: Option<Instant>,
    skipped: u64,
}

impl Spaced {
    /// If a line may be written now, how many were skipped since the last one.
    fn next(&mut self) -> Option<u64> {
        let now = Instant::now();
        if self.last.is_some_and(|last| now < last + SPACING) {
            self.skipped += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.skipped))
    }
}

/// Writes the log lines of one target.
#[derive(Debug)]
pub(super) struct LogLines {
    target: Arc<str>,
    failing: bool,
    failures: Spaced,
    dead: Spaced,
    store: Spaced,
}

impl LogLines {
    pub(super) fn new(target: Arc<str>) -> Self {
        Self {
            target,
            failing: false,
            failures: Spaced::default(),
            dead: Spaced::default(),
            store: Spaced::default(),
        }
    }

    pub(super) fn delivered(&mut self) {
        self.failing = false;
    }

    /// Only the first failure in a row is worth a line.
    pub(super) fn failed(&mut self, event: EventId, attempt: u32, reason: &str) {
        if std::mem::replace(&mut self.failing, true) {
            return;
        }
        if let Some(skipped) = self.failures.next() {
            let to = &*self.target;
            tracing::warn!(to, %event, attempt, reason, skipped, "delivery failed; it will be retried");
        }
    }

    pub(super) fn dead(&mut self, event: EventId, attempt: u32, reason: &str) {
        if let Some(skipped) = self.dead.next() {
            let to = &*self.target;
            tracing::warn!(to, %event, attempt, reason, skipped, "dead letter");
        }
    }

    pub(super) fn expired(&mut self, count: u64, reason: &str) {
        let to = &*self.target;
        tracing::warn!(to, count, reason, "waiting deliveries became dead letters");
    }

    pub(super) fn changed(&mut self, change: Change, reason: &str) {
        let to = &*self.target;
        match change {
            Change::Held(Cause::Failing) => {
                tracing::warn!(
                    to,
                    reason,
                    "target is down; its deliveries wait while it is probed"
                );
            }
            Change::Held(Cause::Throttled) => {
                tracing::warn!(to, reason, "target throttled; its deliveries wait");
            }
            Change::Held(Cause::Broken) => {
                tracing::error!(
                    to,
                    reason,
                    "target is broken; its deliveries wait: fix its configuration or credentials, then `dispatcher resume TARGET`"
                );
            }
            Change::Recovered { held_for } => {
                tracing::info!(to, held_s = held_for.as_secs(), "target works again");
            }
        }
    }

    /// Nothing succeeded since the oldest failure, though the circuit breaker is closed.
    pub(super) fn fails(&mut self, attempts: u32, reason: &str) {
        let to = &*self.target;
        tracing::warn!(
            to,
            attempts,
            reason,
            "target fails: nothing was delivered since its oldest failure"
        );
    }

    pub(super) fn works_again(&mut self, failed_for: Duration) {
        tracing::info!(to = &*self.target, failed_s = failed_for.as_secs(), "target works again");
    }

    pub(super) fn store_failed(&mut self, what: &str, error: &StoreError) {
        if let Some(skipped) = self.store.next() {
            let to = &*self.target;
            tracing::error!(to, %error, skipped, "the store could not {what}; trying again");
        }
    }
}
