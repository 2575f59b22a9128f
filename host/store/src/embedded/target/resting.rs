//! Deliveries whose event cannot be read now: they rest, so that the others go on.

use dispatcher_model::Timestamp;
use tokio::time::Instant;

use super::live::{Claimed, Live, RowLease};
use crate::embedded::index::rows::RetryRow;
use crate::embedded::limits::WINDOW_MAX;
use crate::embedded::platform::clock::Now;

impl Live {
    /// An event could not be read. Returns how often in a row.
    pub(crate) fn read_failed(&mut self, number: u64) -> u32 {
        if !self.reads_failed.contains_key(&number) && self.reads_failed.len() >= WINDOW_MAX {
            return 0;
        }
        let failed = self.reads_failed.entry(number).or_default();
        *failed += 1;
        *failed
    }

    pub(crate) fn was_read(&mut self, number: u64) {
        self.reads_failed.remove(&number);
    }

    /// Leases a delivery without an attempt, so that it is not loaded again before that lease ends: a row with the
    /// time at which it is due, or a released one.
    pub(crate) fn keep_back(
        &mut self,
        (number, row): (u64, Option<&(u64, RetryRow)>),
        until: Instant,
        now: Now,
    ) {
        if let Some((due_ms, row)) = row {
            let first_attempt = Timestamp::from_millis(row.first_attempt_ms);
            let lease = RowLease {
                due_ms: *due_ms,
                attempts: row.attempts.saturating_sub(1),
                first_attempt,
                received: first_attempt,
                until,
                settled: false,
            };
            self.rows.insert(number, lease);
        } else if let Some(open) = self.open.get_mut(&number) {
            self.free.remove(&number);
            open.claimed = Some(Claimed { until, since: now.seen });
        }
        self.check_lease(until);
    }

    /// A lease ends then.
    pub(crate) fn check_lease(&mut self, until: Instant) {
        self.lease_check = Some(self.lease_check.map_or(until, |check| check.min(until)));
    }

    /// The first number from there on that is neither claimed nor has a row: those may get a letter of their own.
    pub(super) fn first_without_letter(&self, mut first: u64, to: u64) -> u64 {
        loop {
            let is_open = u64::from(self.open.contains_key(&first));
            let next = self.done.gap_from(first + is_open);
            if next == first || next >= to {
                // No event has the last number of a place that cannot be read.
                return next.min(to - 1);
            }
            first = next;
        }
    }
}
