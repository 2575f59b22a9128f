//! What the log says of one target: its first failure, its being held and working again, dead letters.
//!
//! Never a line a delivery: repeated lines of one kind are at least [`SPACING`] apart, and say how many
//! were left out.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::EventId;
use crate::retry::{Cause, Change};
use crate::store::StoreError;

/// Shortest time between two lines of one kind.
const SPACING: Duration = Duration::from_secs(10);

/// Lets through one line a [`SPACING`] and counts the others.
#[derive(Debug, Default)]
struct Spaced {
    last: Option<Instant>,
    hidden: u64,
}

impl Spaced {
    /// How many lines were left out since the last one, if this one may be written.
    fn next(&mut self) -> Option<u64> {
        let now = Instant::now();
        if self.last.is_some_and(|last| now < last + SPACING) {
            self.hidden += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.hidden))
    }
}

#[derive(Debug)]
pub(super) struct Journal {
    target: Arc<str>,
    failing: bool,
    failures: Spaced,
    dead: Spaced,
    store: Spaced,
}

impl Journal {
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

    /// Of a run of failures only the first is worth a line.
    pub(super) fn failed(&mut self, event: EventId, attempt: u32, reason: &str) {
        if std::mem::replace(&mut self.failing, true) {
            return;
        }
        if let Some(hidden) = self.failures.next() {
            let to = &*self.target;
            tracing::warn!(to, %event, attempt, reason, hidden, "delivery failed, to be tried again");
        }
    }

    pub(super) fn dead(&mut self, event: EventId, attempt: u32, reason: &str) {
        if let Some(hidden) = self.dead.next() {
            let to = &*self.target;
            tracing::warn!(to, %event, attempt, reason, hidden, "dead letter");
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
                tracing::warn!(to, reason, "target is down; its deliveries wait while one probes");
            }
            Change::Held(Cause::Throttled) => {
                tracing::warn!(to, reason, "target asked for less; its deliveries wait");
            }
            Change::Held(Cause::Broken) => {
                tracing::error!(
                    to,
                    reason,
                    "target cannot work as it is configured; all its deliveries are kept: mend it, then `dispatcher resume`"
                );
            }
            Change::Recovered { held_for } => {
                tracing::info!(to, held_s = held_for.as_secs(), "target works again");
            }
        }
    }

    pub(super) fn store_failed(&mut self, what: &str, error: &StoreError) {
        if let Some(hidden) = self.store.next() {
            let to = &*self.target;
            tracing::error!(to, %error, hidden, "the store could not {what}; trying again");
        }
    }
}
