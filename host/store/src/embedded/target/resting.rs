//! What cannot be read, so that the rest goes on: deliveries whose event cannot be read now rest, and a place without
//! deliveries is passed over.

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

    /// Continues behind a place that cannot be read and that had nothing for the target, unless the target read on
    /// meanwhile.
    pub(crate) fn pass_over(&mut self, from: u64, to: u64) {
        if self.next != from {
            return;
        }
        self.ready.clear();
        (self.next, self.read) = (to, to);
        self.advance();
        self.settle_pending_when_idle();
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
}
