//! How many deliveries of a target wait, retry and are dead.
//!
//! The one place that counts: [`State`](super::apply::State) counts what is durable, a target in memory
//! counts the same records as soon as they are made.

use crate::embedded::format::record::{DeadLetterChange, RecordedOutcome, Settled};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Neither delivered nor dead, retries included.
    pub pending: u64,
    /// Deliveries with a row: they wait for another attempt, or were parked.
    pub retrying: u64,
    pub dead: u64,
}

impl Counts {
    /// A request brought this many deliveries.
    pub(crate) const fn routed(&mut self, count: u64) {
        self.pending += count;
    }

    /// A delivery without a row was delivered, without a receipt.
    pub(crate) const fn delivered(&mut self) {
        self.pending = self.pending.saturating_sub(1);
    }

    pub(crate) const fn settled(&mut self, settled: &Settled) {
        let had_row = settled.row_due_ms.is_some() as u64;
        match &settled.what {
            RecordedOutcome::Retry { .. } | RecordedOutcome::Parked { .. } => self.retrying += 1,
            RecordedOutcome::Delivered { .. } => self.delivered(),
            RecordedOutcome::Dropped(_) => self.dropped(1),
            RecordedOutcome::Dead { .. } => self.died(1),
            // A window is not a delivery.
            RecordedOutcome::Window { .. } => return,
        }
        self.retrying = self.retrying.saturating_sub(had_row);
    }

    /// This many deliveries became dead letters.
    pub(crate) const fn died(&mut self, count: u64) {
        self.pending = self.pending.saturating_sub(count);
        self.dead += count;
    }

    /// This many retries became dead letters because their rows are lost.
    pub(crate) const fn lost_rows(&mut self, count: u64) {
        self.retrying = self.retrying.saturating_sub(count);
        self.died(count);
    }

    /// This many deliveries were dropped while they waited.
    pub(crate) const fn dropped(&mut self, count: u64) {
        self.pending = self.pending.saturating_sub(count);
    }

    /// Dead letters were replayed or dropped.
    pub(crate) const fn changed(&mut self, change: &DeadLetterChange) {
        let replayed = change.replayed.len() as u64;
        self.pending += replayed;
        self.retrying += replayed;
        self.dead = self.dead.saturating_sub(change.count);
    }
}
