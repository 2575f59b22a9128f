//! A target in memory: what it reads next, what is claimed, what is settled above its cursor.
//!
//! Pure: time comes as an argument, events from the caller. A delivery that was never tried has no
//! entry until it is claimed; from then on it is in `open` until it is settled or gets a row. The
//! cursor is the first open number. A claimed row is in `rows` until the index has taken its
//! settlement in: before that, the index would still show the old row.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use dispatcher_model::{Delivery, REASON_BYTES_MAX, StoredEvent, Timestamp};
use tokio::time::Instant;

use crate::embedded::format::event_number::number;
use crate::embedded::format::record::{DeadRange, HoldRow};
use crate::embedded::format::runs::Runs;
use crate::embedded::index::rows::RetryRow;
use crate::embedded::limits::{CLAIM_BYTES_MAX, WINDOW_MAX};
use crate::embedded::log::recent::Tail;
use crate::embedded::platform::clock::Now;
use crate::embedded::state::apply::TargetState;
use crate::embedded::state::counts::Counts;
use crate::embedded::target::expire_range::ExpireRange;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Claimed {
    pub until: Instant,
    /// In seen time, like all times of rows.
    pub since: Timestamp,
}

/// A claimed delivery from the log, without a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Open {
    pub received: Timestamp,
    pub claimed: Option<Claimed>,
}

/// A claimed row.
#[derive(Clone, Debug)]
pub(crate) struct RowLease {
    pub due_ms: u64,
    pub attempts: u32,
    pub first_attempt: Timestamp,
    pub received: Timestamp,
    pub until: Instant,
    /// Settled, but the index does not know yet.
    pub settled: bool,
}

/// A delivery loaded into memory to be claimed: a due row, or an open one that was released.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub number: u64,
    pub row: Option<(u64, RetryRow)>,
    pub event: Arc<StoredEvent>,
}

/// What has to be read before something can be claimed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Need {
    pub rows_from_ms: Option<u64>,
    /// What is due later than this is due now.
    pub far_from_ms: Option<u64>,
    pub given_back: Vec<u64>,
    pub log_from: Option<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Live {
    pub target: u16,
    /// Everything below was claimed once or is settled.
    pub next: u64,
    /// Deliveries from `next` up to here are in `ready`.
    pub read: u64,
    pub last_routed: Option<u64>,
    pub open: BTreeMap<u64, Open>,
    /// Open, but released or with a lease that ended.
    pub free: BTreeSet<u64>,
    /// How often in a row an event could not be read.
    pub reads_failed: BTreeMap<u64, u32>,
    pub done: Runs,
    pub rows: BTreeMap<u64, RowLease>,
    pub ready: VecDeque<(u64, Arc<StoredEvent>)>,
    pub loaded: VecDeque<Loaded>,
    /// No row outside memory is due before.
    pub low_water_ms: u64,
    /// A row that is due later than after this time was made by a wrong clock.
    longest: Option<Duration>,
    /// There may be such rows outside memory; and where they began when they were last read.
    far: bool,
    far_from_ms: u64,
    /// No lease ends before this.
    pub lease_check: Option<Instant>,
    pub counts: Counts,
    /// No claims of new deliveries while an expiry looks at the log.
    pub frozen: bool,
    /// No claims at all while an operator's act reads rows.
    pub still: bool,
    /// Why the target is held.
    pub hold: Option<HoldRow>,
}

impl Live {
    pub(crate) fn new(target: u16, state: &TargetState) -> Self {
        let mut live = Self {
            target,
            next: state.cursor,
            read: state.cursor,
            last_routed: state.last_routed,
            done: state.done.clone(),
            low_water_ms: if state.counts.retrying > 0 { 0 } else { u64::MAX },
            counts: state.counts,
            hold: state.hold.clone(),
            ..Self::default()
        };
        live.advance();
        live.settle_pending_when_idle();
        live
    }

    /// Whether nothing may be claimed. A target that is held as broken is still probed with what was never tried.
    pub(crate) fn is_closed(&self, untried: bool) -> bool {
        let closes = |hold: &HoldRow| !(untried && hold.broken);
        self.still || self.hold.as_ref().is_some_and(closes)
    }

    /// Whether nothing waits, is claimed or is dead.
    pub(crate) fn is_idle(&self) -> bool {
        let nothing = self.open.is_empty() && self.rows.is_empty() && self.loaded.is_empty();
        nothing && self.counts == Counts::default() && self.hold.is_none()
    }

    /// Whether a number planned for this target was never settled and has no row.
    pub(crate) fn is_open(&self, number: u64) -> bool {
        self.open.contains_key(&number) || (number >= self.next && !self.done.contains(number))
    }

    pub(crate) fn cursor(&self) -> u64 {
        self.open.first_key_value().map_or(self.next, |(number, _)| *number)
    }

    pub(crate) fn advance(&mut self) {
        while let Some(end) = self.done.end_of(self.next) {
            if self.ready.is_empty() {
                self.read = self.read.max(end);
            }
            self.next = end;
        }
        self.done.forget_below(self.cursor());
    }

    /// Whether the log holds deliveries that are not yet in `ready`.
    pub(crate) fn unread(&self) -> bool {
        self.last_routed.is_some_and(|last| self.read <= last)
    }

    fn window_full(&self) -> bool {
        self.open.len() + self.done.len() >= WINDOW_MAX
    }

    /// A request became durable: `count` of its events are for this target.
    pub(crate) fn publish(&mut self, lsn: u64, last: u64, count: u64) {
        if !self.unread() {
            // Nothing in between is for this target.
            self.read = self.read.max(number(lsn, 0));
            if self.ready.is_empty() {
                self.next = self.next.max(self.read);
            }
            self.done.forget_below(self.cursor());
        }
        self.last_routed = Some(last);
        self.counts.routed(count);
    }

    /// The number from which [`fill`](Self::fill) would load deliveries.
    pub(crate) fn wants(&self, max: usize, untried: bool) -> Option<u64> {
        let closed = self.frozen || self.is_closed(untried) || self.window_full();
        (!closed && self.unread() && self.ready.len() < max).then_some(self.read)
    }

    /// Loads new deliveries from memory into `ready`.
    pub(crate) fn fill(&mut self, tail: &Tail, max: usize, untried: bool) {
        let Some(from) = self.wants(max, untried) else { return };
        let target = self.target;
        let Self { ready, done, .. } = self;
        let to = tail.read(target, from, |frame| {
            let new = frame.deliveries(target).filter(|(n, _)| *n >= from && !done.contains(*n));
            ready.extend(new.map(|(number, event)| (number, event.clone())));
            ready.len() < max
        });
        if let Some(to) = to {
            self.read = to;
            if self.ready.is_empty() {
                self.next = self.next.max(to);
                self.advance();
            }
            self.settle_pending_when_idle();
        }
    }

    /// Loads new deliveries that were read from the log, unless the target read on meanwhile.
    pub(crate) fn fill_from_log(
        &mut self,
        from: u64,
        to: u64,
        new: impl Iterator<Item = (u64, Arc<StoredEvent>)>,
    ) {
        if self.read != from || self.frozen {
            return;
        }
        if to <= from {
            // The log has nothing more, whatever was announced.
            self.last_routed = None;
        }
        let done = &self.done;
        self.ready.extend(new.filter(|(number, _)| !done.contains(*number)));
        self.read = to.max(from);
        if self.ready.is_empty() {
            self.next = self.next.max(self.read);
            self.advance();
        }
        self.settle_pending_when_idle();
    }

    /// Corrects the count of pending deliveries once nothing is left to read: damage in the log may have
    /// lost an unknown number.
    fn settle_pending_when_idle(&mut self) {
        if !self.unread() && self.ready.is_empty() {
            self.counts.pending = self.open.len() as u64 + self.counts.retrying;
        }
    }

    pub(crate) fn need(&mut self, tail: &Tail, max: usize, now: Now, untried: bool) -> Need {
        let mut need = Need::default();
        if !untried && self.rows_due(now) {
            need.rows_from_ms = Some(std::mem::replace(&mut self.low_water_ms, u64::MAX));
            need.far_from_ms = self.far_from(now);
        }
        need.given_back = self.given_back(max);
        let room = !self.frozen && !self.window_full() && self.ready.is_empty();
        if room && self.unread() && !tail.covers(self.read) {
            need.log_from = Some(self.read);
        }
        need
    }

    fn rows_due(&self, now: Now) -> bool {
        self.low_water_ms <= now.seen.as_millis() && self.rows.len() < WINDOW_MAX
    }

    pub(crate) fn wait_at_most(&mut self, longest: Duration) {
        self.longest = Some(longest);
        self.look_far();
    }

    /// Reads the rows again that a wrong clock made.
    pub(crate) fn look_far(&mut self) {
        self.far = true;
        self.low_water_ms = 0;
    }

    fn far_from(&mut self, now: Now) -> Option<u64> {
        let longest = self.longest.filter(|_| std::mem::take(&mut self.far))?;
        self.far_from_ms = now.seen.plus(longest).as_millis().saturating_add(1);
        Some(self.far_from_ms)
    }

    /// A row was released: it is neither claimed nor in memory.
    pub(crate) fn row_waits(&mut self, due_ms: u64) {
        self.low_water_ms = self.low_water_ms.min(due_ms);
        if self.longest.is_some() && due_ms >= self.far_from_ms {
            self.look_far();
        }
    }

    /// Open deliveries that are not claimed and not in memory.
    fn given_back(&self, max: usize) -> Vec<u64> {
        let loaded: BTreeSet<u64> = self.loaded.iter().map(|loaded| loaded.number).collect();
        self.free.iter().copied().filter(|number| !loaded.contains(number)).take(max).collect()
    }

    /// Numbers of rows that are claimed or in memory, ascending.
    pub(crate) fn held_rows(&self) -> Vec<u64> {
        let loaded = self.loaded.iter().filter(|loaded| loaded.row.is_some());
        let mut held: Vec<u64> =
            self.rows.keys().copied().chain(loaded.map(|loaded| loaded.number)).collect();
        held.sort_unstable();
        held
    }

    /// Whether [`need`](Self::need) would name anything.
    pub(crate) fn needs(&self, tail: &Tail, now: Now, untried: bool) -> bool {
        let rows = !untried && self.rows_due(now);
        let room = !self.frozen && !self.window_full() && self.ready.is_empty();
        rows || !self.free.is_empty() || (room && self.unread() && !tail.covers(self.read))
    }

    /// When there may be something to claim without a notification. `untried`: rows do not matter.
    pub(crate) fn next_change(&self, now: Now, untried: bool) -> Option<Instant> {
        let rows = !untried && self.low_water_ms < u64::MAX && self.rows.len() < WINDOW_MAX;
        let due = rows.then(|| {
            let left = Timestamp::from_millis(self.low_water_ms).since(now.seen);
            now.after(left)
        });
        [due, self.lease_check].into_iter().flatten().min()
    }

    /// Leases what is in memory: due rows first, then released deliveries, then new ones.
    /// `untried`: ignores rows.
    pub(crate) fn take(
        &mut self,
        max: usize,
        lease: Duration,
        now: Now,
        untried: bool,
    ) -> Vec<Delivery> {
        let until = now.after(lease);
        let claimed = Claimed { until, since: now.seen };
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while taken.len() < max && bytes < CLAIM_BYTES_MAX && self.rows.len() < WINDOW_MAX {
            let wanted = |loaded: &Loaded| !untried || loaded.row.is_none();
            let place = self.loaded.iter().position(wanted);
            let Some(Loaded { number, row, event }) = place.and_then(|p| self.loaded.remove(p))
            else {
                break;
            };
            bytes += event.data.len();
            if let Some((due_ms, row)) = row {
                if self.rows.contains_key(&number) {
                    continue;
                }
                let first_attempt = Timestamp::from_millis(row.first_attempt_ms);
                let received = event.received_at;
                let lease = RowLease {
                    due_ms,
                    attempts: row.attempts,
                    first_attempt: if row.attempts == 0 { now.seen } else { first_attempt },
                    received,
                    until,
                    settled: false,
                };
                self.rows.insert(number, lease);
                taken.push(Delivery {
                    event,
                    attempt: row.attempts + 1,
                    first_attempt_at: (row.attempts > 0).then_some(first_attempt),
                    progress: row.progress,
                });
            } else if self.free.remove(&number) {
                self.open
                    .insert(number, Open { received: event.received_at, claimed: Some(claimed) });
                taken.push(first_attempt(event));
            }
        }
        while taken.len() < max && bytes < CLAIM_BYTES_MAX && !self.frozen && !self.window_full() {
            let Some((number, event)) = self.ready.pop_front() else { break };
            bytes += event.data.len();
            self.next = if self.ready.is_empty() { self.read } else { number + 1 };
            self.open.insert(number, Open { received: event.received_at, claimed: Some(claimed) });
            taken.push(first_attempt(event));
        }
        if !taken.is_empty() {
            self.lease_check = Some(self.lease_check.map_or(until, |check| check.min(until)));
        }
        taken
    }

    /// Releases deliveries whose lease ended.
    pub(crate) fn end_leases(&mut self, now: Now) {
        if self.lease_check.is_none_or(|check| now.steady < check) {
            return;
        }
        let mut next: Option<Instant> = None;
        let mut later = |until: Instant| next = Some(next.map_or(until, |n| n.min(until)));
        for (number, open) in &mut self.open {
            match open.claimed {
                Some(claimed) if claimed.until <= now.steady => {
                    open.claimed = None;
                    self.free.insert(*number);
                }
                Some(claimed) => later(claimed.until),
                None => {}
            }
        }
        let ended = |row: &RowLease| !row.settled && row.until <= now.steady;
        let waiting: Vec<u64> =
            self.rows.values().filter(|row| ended(row)).map(|row| row.due_ms).collect();
        self.rows.retain(|_, row| !ended(row));
        self.rows.values().filter(|row| !row.settled).for_each(|row| later(row.until));
        self.lease_check = next;
        waiting.into_iter().for_each(|due_ms| self.row_waits(due_ms));
    }

    pub(crate) fn extend(&mut self, numbers: impl Iterator<Item = u64>, until: Instant) {
        for number in numbers {
            if let Some(Open { claimed: Some(claimed), .. }) = self.open.get_mut(&number) {
                claimed.until = until;
            } else if let Some(row) = self.rows.get_mut(&number) {
                row.until = until;
            }
        }
        self.check_lease(until);
    }

    /// Drops what was loaded into memory and not claimed, when the target is held.
    pub(crate) fn unload(&mut self) {
        for loaded in std::mem::take(&mut self.loaded) {
            if let Some((due_ms, _)) = loaded.row {
                self.row_waits(due_ms);
            }
        }
        self.ready.clear();
        self.read = self.next;
    }

    /// Expires what was never tried and is not claimed: released deliveries received before `before`, and
    /// the `count` of them in the log from `from` up to `to`, the first of them `first`. `None` when there
    /// is nothing, or when the target read on meanwhile.
    pub(crate) fn expire(&mut self, range: ExpireRange, before: Timestamp) -> Option<DeadRange> {
        if self.next != range.from {
            return None;
        }
        let old: Vec<(u64, Timestamp)> = self
            .free
            .iter()
            .filter_map(|n| Some((*n, self.open.get(n)?.received)))
            .filter(|(_, received)| *received < before)
            .collect();
        let to = range.to.max(self.next);
        // What was claimed before may have a letter of its own.
        let unclaimed = |number: u64| self.first_without_letter(number.max(range.from), to);
        let in_range = range.first.map(|(number, received)| (unclaimed(number), received));
        let first = old.first().copied().or(in_range)?;
        for (number, _) in &old {
            self.free.remove(number);
            self.open.remove(number);
        }
        let count = range.count + old.len() as u64;
        let kept: Vec<u64> = self.open.range(first.0..to).map(|(number, _)| *number).collect();
        let settled = self.done.within(first.0, to).to_deltas(first.0);
        let mut from = first.0;
        for &number in &kept {
            self.done.insert(from, number);
            from = number + 1;
        }
        self.done.insert(from, to);
        self.ready.clear();
        (self.next, self.read) = (to, to);
        self.advance();
        if range.drops {
            self.counts.dropped(count);
        } else {
            self.counts.died(count);
        }
        Some(DeadRange {
            target: self.target,
            from: first.0,
            to,
            kept,
            count,
            first: first.0,
            first_received_ms: first.1.as_millis(),
            at_ms: range.at.as_millis(),
            reason: crate::embedded::limits::cut(range.reason, REASON_BYTES_MAX),
            cursor: self.cursor(),
            settled,
        })
    }

    /// The index has applied changes: the old rows of these numbers are gone, and these due times are new.
    pub(crate) fn applied(&mut self, gone: &[u64], new_due_ms: Option<u64>) {
        for number in gone {
            if self.rows.get(number).is_some_and(|row| row.settled) {
                self.rows.remove(number);
            }
        }
        if let Some(due_ms) = new_due_ms {
            self.low_water_ms = self.low_water_ms.min(due_ms);
        }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.open.len() - self.free.len() + self.rows.values().filter(|row| !row.settled).count()
    }

    /// Rows that are not claimed.
    pub(crate) fn waiting_rows(&self) -> u64 {
        let held = self.rows.values().filter(|row| !row.settled).count() as u64;
        self.counts.retrying.saturating_sub(held)
    }
}

fn first_attempt(event: Arc<StoredEvent>) -> Delivery {
    Delivery { event, attempt: 1, first_attempt_at: None, progress: Vec::new() }
}

#[cfg(test)]
mod tests;
