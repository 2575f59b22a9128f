//! Turns the outcomes of claimed deliveries into a record.

use std::collections::VecDeque;

use dispatcher_model::{REASON_BYTES_MAX, Receipt, Timestamp};

use super::live::Live;
use crate::embedded::format::record::{RecordedOutcome, Settled, TargetSettlements, to_deltas};
use crate::embedded::limits::{
    OUT_OF_ORDER_MAX, RECEIPT_BYTES_MAX, SETTLED_AHEAD_MAX, WINDOW_MAX, cut,
};
use crate::embedded::platform::clock::Now;
use crate::{Outcome, PROGRESS_STORED_BYTES_MAX, Settlement, Window};

/// What a call of [`Live::settle`] did.
#[derive(Debug)]
pub(crate) struct Step {
    /// `None`: nothing to write.
    pub record: Option<TargetSettlements>,
    /// About the bytes of the record.
    pub bytes: usize,
    /// Something new can be claimed.
    pub wake: bool,
}

impl Live {
    /// Settles until the list is empty or the record has `bytes_max`. Numbers that are not claimed
    /// change nothing.
    pub(crate) fn settle(
        &mut self,
        list: &mut VecDeque<Settlement>,
        bytes_max: usize,
        now: Now,
    ) -> Step {
        let was_full =
            self.open.len() + self.done.len() >= WINDOW_MAX || self.rows.len() >= WINDOW_MAX;
        let (mut delivered, mut others) = (Vec::new(), Vec::new());
        let (mut bytes, mut released) = (32, false);
        while bytes < bytes_max {
            let Some(Settlement { event, outcome }) = list.pop_front() else { break };
            let number = event.number();
            if outcome == Outcome::Release {
                released |= self.release(number, now, &mut others);
                continue;
            }
            let Some(mut settled) = self.end(number) else { continue };
            if let Outcome::Wait { .. } = outcome {
                settled.attempts -= 1;
            }
            let plain = settled.row_due_ms.is_none();
            match outcome {
                Outcome::Delivered { receipt } if plain && receipt.is_empty() => {
                    delivered.push(number);
                    bytes += 10;
                    self.counts.delivered();
                    continue;
                }
                outcome => settled.what = what(outcome),
            }
            self.counts.settled(&settled);
            bytes += size(&settled);
            others.push(settled);
        }
        self.advance();
        delivered.sort_unstable();
        let cursor = self.cursor();
        // A row's number lies below the cursor or in a run already, or is of an event that was never
        // planned for this target.
        let others_new = others.iter().filter(|s| s.row_due_ms.is_none()).map(|s| &s.number);
        for number in delivered.iter().chain(others_new) {
            if *number >= cursor {
                self.done.insert(*number, number + 1);
            }
        }
        self.park(now, &mut others);
        self.advance();
        // A target that releases a delivery untried has stopped delivering.
        if released {
            self.unload();
        }
        let cursor = self.cursor();
        let empty = delivered.is_empty() && others.is_empty();
        let record = (!empty).then(|| TargetSettlements {
            target: self.target,
            cursor,
            delivered: to_deltas(&delivered),
            others,
        });
        Step { record, bytes, wake: released || was_full }
    }

    /// Ends a delivery that was never tried and is not claimed. `false` if it is not one of these, or if too many were
    /// already ended out of order. The caller counts it.
    pub(crate) fn give_up(&mut self, number: u64) -> bool {
        if self.free.remove(&number) {
            self.open.remove(&number);
        } else if number < self.next
            || self.done.contains(number)
            || self.open.contains_key(&number)
            || self.done.len() >= OUT_OF_ORDER_MAX
        {
            return false;
        }
        self.loaded.retain(|loaded| loaded.number != number);
        self.ready.retain(|(ready, _)| *ready != number);
        if self.ready.is_empty() {
            self.next = self.next.max(self.read);
        }
        if number >= self.cursor() {
            self.done.insert(number, number + 1);
        }
        self.advance();
        true
    }

    /// Removes a claimed delivery; the caller fills in `what`.
    fn end(&mut self, number: u64) -> Option<Settled> {
        let what = RecordedOutcome::Dead { reason: String::new() };
        if let Some(claimed) = self.open.get(&number).and_then(|open| open.claimed) {
            let open = self.open.remove(&number)?;
            return Some(Settled {
                number,
                received_ms: open.received.as_millis(),
                row_due_ms: None,
                attempts: 1,
                first_attempt_ms: claimed.since.as_millis(),
                what,
            });
        }
        let row = self.rows.get_mut(&number).filter(|row| !row.settled)?;
        row.settled = true;
        Some(Settled {
            number,
            received_ms: row.received.as_millis(),
            row_due_ms: Some(row.due_ms),
            attempts: row.attempts + 1,
            first_attempt_ms: row.first_attempt.as_millis(),
            what,
        })
    }

    /// Releases a claimed delivery; whether it was claimed.
    fn release(&mut self, number: u64, now: Now, others: &mut Vec<Settled>) -> bool {
        if let Some(open) = self.open.get_mut(&number) {
            let held = open.claimed.take().is_some();
            self.free.insert(number);
            return held;
        }
        let Some(row) = self.rows.get(&number).filter(|row| !row.settled) else { return false };
        let (due_ms, attempts) = (row.due_ms, row.attempts);
        if due_ms <= now.seen.as_millis() || attempts > 0 {
            // The row did not change: only it has the reason and the progress.
            self.rows.remove(&number);
            self.row_waits(due_ms);
            return true;
        }
        // A parked delivery is due only when its lease would have ended: bring that forward.
        let Some(mut settled) = self.end(number) else { return false };
        settled.attempts = attempts;
        settled.what = RecordedOutcome::Parked { due_ms: now.seen.as_millis() };
        others.push(settled);
        true
    }

    /// Parks the oldest claimed deliveries in rows while too many later ones are settled.
    fn park(&mut self, now: Now, others: &mut Vec<Settled>) {
        while self.done.len() > SETTLED_AHEAD_MAX {
            let Some((&number, open)) = self.open.first_key_value() else { break };
            let Some(claimed) = open.claimed else { break };
            let received = open.received;
            self.open.remove(&number);
            let left = claimed.until.saturating_duration_since(now.steady);
            let due_ms = now.seen.plus(left).as_millis();
            let lease = crate::embedded::target::live::RowLease {
                due_ms,
                attempts: 0,
                first_attempt: claimed.since,
                received,
                until: claimed.until,
                settled: false,
            };
            self.rows.insert(number, lease);
            let settled = Settled {
                number,
                received_ms: received.as_millis(),
                row_due_ms: None,
                attempts: 0,
                first_attempt_ms: claimed.since.as_millis(),
                what: RecordedOutcome::Parked { due_ms },
            };
            self.counts.settled(&settled);
            others.push(settled);
            self.advance();
        }
    }
}

fn what(outcome: Outcome) -> RecordedOutcome {
    match outcome {
        Outcome::Delivered { receipt } => bounded(receipt),
        Outcome::Retry { at, reason, mut progress } => {
            progress.truncate(PROGRESS_STORED_BYTES_MAX);
            RecordedOutcome::Retry {
                due_ms: at.as_millis(),
                reason: cut(reason, REASON_BYTES_MAX),
                progress,
            }
        }
        Outcome::Dead { reason } => RecordedOutcome::Dead { reason: cut(reason, REASON_BYTES_MAX) },
        Outcome::Wait { until } => RecordedOutcome::Parked { due_ms: until.as_millis() },
        Outcome::Release => RecordedOutcome::Parked { due_ms: Timestamp::default().as_millis() },
    }
}

/// Puts the window that a message opened into the record of its deliveries.
pub(crate) fn open_window(record: &mut TargetSettlements, window: Window) {
    let number = record.others.first().map(|settled| settled.number);
    let number = number.or_else(|| record.delivered.first().copied());
    record.others.push(Settled {
        number: number.unwrap_or_default(),
        received_ms: 0,
        row_due_ms: None,
        attempts: 0,
        first_attempt_ms: 0,
        what: RecordedOutcome::Window { group: window.group, until_ms: window.until.as_millis() },
    });
}

fn bounded(receipt: Receipt) -> RecordedOutcome {
    let id = receipt.id.map(|id| cut(id, RECEIPT_BYTES_MAX / 2));
    let mut left = RECEIPT_BYTES_MAX - id.as_ref().map_or(0, String::len);
    let fields = receipt.fields.into_iter().take_while(|(name, value)| {
        let size = name.len() + value.len() + 4;
        let fits = size <= left;
        left -= size.min(left);
        fits
    });
    RecordedOutcome::Delivered { receipt: id, fields: fields.collect() }
}

fn size(settled: &Settled) -> usize {
    let text = match &settled.what {
        RecordedOutcome::Delivered { receipt, fields } => {
            receipt.as_ref().map_or(0, String::len)
                + fields.iter().map(|(n, v)| n.len() + v.len() + 4).sum::<usize>()
        }
        RecordedOutcome::Retry { reason, progress, .. } => reason.len() + progress.len(),
        RecordedOutcome::Dead { reason } => reason.len(),
        RecordedOutcome::Parked { .. }
        | RecordedOutcome::Window { .. }
        | RecordedOutcome::Dropped(_) => 0,
    };
    text + 48
}
