//! Empties the oldest segment: gives up what is too old, and relocates what is still needed.
//!
//! A step is bounded. It holds the reading locks of all targets, reads the exceptions in the index, and
//! writes one record or the copies of one segment.

use std::collections::BTreeSet;
use std::sync::Arc;

use dispatcher_model::{REASON_BYTES_MAX, TargetNumber, Timestamp};
use tokio::sync::OwnedMutexGuard;

use super::relocate::{Exception, GATHERED_MAX, copies, gather, retry_row};
use super::retire::{Meanwhile, Oldest, Retention, ask};
use crate::StoreError;
use crate::embedded::core::events::event;
use crate::embedded::core::inbox::{Command, Copy};
use crate::embedded::core::shared::Target;
use crate::embedded::deliveries::expire::{Frozen, Looked, look};
use crate::embedded::deliveries::unreadable::lost_event;
use crate::embedded::format::event_number::number;
use crate::embedded::format::record::{RecordedOutcome, Settled};
use crate::embedded::index::queries::Queries as _;
use crate::embedded::limits::{SETTLEMENT_BYTES_MAX, cut};
use crate::embedded::platform::locks::{lock, read_lock};

/// Most deliveries in one record.
const RECORD_ROWS_MAX: usize = 1_000;

/// A segment is nearly empty when at most this part of it is still needed …
const LIVE_PART: u64 = 10;

/// … and at most this many bytes.
const LIVE_BYTES_MAX: u64 = 16 << 20;

/// A command to the committer takes no further copy above this many bytes.
const COPY_BYTES_MAX: u64 = 1 << 20;

/// Most names of targets in the message that says what needs the oldest segment.
const NAMES_MAX: usize = 5;

const TOO_OLD: &str = "older than retention.age";

const OVERFLOW: &str = "overflow: the log reached retention.size";

/// What a relocation did.
#[derive(Default)]
struct Relocated {
    any: bool,
    /// Numbers of events that cannot be copied, because they cannot be read.
    unreadable: BTreeSet<u64>,
}

impl Retention {
    /// Does one step towards removing the oldest segment; `false` if it must stay for now.
    pub(super) fn reclaim(
        &mut self,
        oldest: &Oldest,
        wait: Meanwhile<'_>,
    ) -> Result<bool, StoreError> {
        let targets = read_lock(&self.shared.targets).clone();
        let behind = self.behind(oldest, &targets)?;
        let may_give_up =
            |t: &Arc<Target>| oldest.aged || self.shared.retention.may_overflow(t.number);
        if behind.iter().any(|target| !may_give_up(target)) {
            self.name_those_behind(&behind);
            return Ok(false);
        }
        let Some(_alone) = alone(&targets) else { return Ok(true) };
        let mut given_up = 0;
        for target in &behind {
            given_up += self.give_up_unread(oldest, target, wait)?;
        }
        ask(&self.shared, |reply| Command::Flush { reply }, wait)?;
        if !self.behind(oldest, &targets)?.is_empty() {
            // Some deliveries are claimed and will be settled.
            self.name_those_behind(&behind);
            return Ok(given_up > 0);
        }
        let count = u16::try_from(targets.len()).unwrap_or(u16::MAX);
        let exceptions = self.shared.with_index(|index| gather(index, count, oldest.end))?;
        if !exceptions.is_empty() {
            return self.take_out(oldest, &targets, &exceptions, wait);
        }
        if self.ranges(oldest, count, wait)? {
            return Ok(true);
        }
        self.free(oldest)?;
        Ok(true)
    }

    /// Targets that have not settled all their deliveries in the segment.
    fn behind(
        &self,
        oldest: &Oldest,
        targets: &[Arc<Target>],
    ) -> Result<Vec<Arc<Target>>, StoreError> {
        let rows = self.shared.with_index(|index| index.targets())?;
        let behind = targets.iter().zip(rows).filter(|(target, state)| {
            let (cursor, last) = (state.cursor, state.last_routed);
            cursor < number(oldest.end, 0)
                && last.is_some_and(|last| last >= cursor)
                && oldest.summary.may_have(target.number, cursor)
        });
        Ok(behind.map(|(target, _)| target.clone()).collect())
    }

    fn name_those_behind(&self, targets: &[Arc<Target>]) {
        let names: Vec<&str> = targets.iter().take(NAMES_MAX).map(|t| &*t.name).collect();
        *lock(&self.shared.retention.kept_by) = names.join(", ");
    }

    /// Gives up, with one record, the deliveries in the segment that were never tried; returns how many.
    fn give_up_unread(
        &self,
        oldest: &Oldest,
        target: &Arc<Target>,
        wait: Meanwhile<'_>,
    ) -> Result<u64, StoreError> {
        let _frozen = Frozen::new(target);
        let newest = Timestamp::from_millis(oldest.summary.newest_ms.saturating_add(1));
        let age_ms = self.shared.retention.age_ms.unwrap_or_default();
        let (before, reason) = if oldest.aged {
            (newest.max(Timestamp::from_millis(oldest.now_ms.saturating_sub(age_ms))), TOO_OLD)
        } else {
            (newest, OVERFLOW)
        };
        let old = (before, oldest.end);
        let found = look(&self.shared, target, old, reason.to_owned())?;
        let Some(Looked { range, before, .. }) = found else { return Ok(0) };
        let number = TargetNumber(target.number);
        let expire = |reply| Command::Expire { target: number, range, before, reply };
        let count = ask(&self.shared, expire, wait)?.unwrap_or(0);
        self.log_given_up(target, count, reason);
        Ok(count)
    }

    fn log_given_up(&self, target: &Target, count: u64, reason: &str) {
        let (mut records, all) = self.given_up.get();
        let all = all + count;
        if count > 0 && records.again().is_some() {
            tracing::warn!(to = %target.name, count, all, "deliveries were given up: {reason}");
        }
        self.given_up.set((records, all));
    }

    /// Relocates what is still needed, or gives it up where that is allowed; returns whether it did
    /// anything.
    fn take_out(
        &self,
        oldest: &Oldest,
        targets: &[Arc<Target>],
        exceptions: &BTreeSet<Exception>,
        wait: Meanwhile<'_>,
    ) -> Result<bool, StoreError> {
        let mut unreadable = BTreeSet::new();
        if !oldest.aged {
            let relocated = self.relocate(oldest, exceptions, wait)?;
            if relocated.any {
                return Ok(true);
            }
            unreadable = relocated.unreadable;
        }
        // What cannot be read would keep the segment for ever.
        let lossy = |e: &&Exception| {
            let may_overflow = self.shared.retention.may_overflow(e.target);
            oldest.aged || may_overflow || unreadable.contains(&e.number)
        };
        let retrying: Vec<&Exception> =
            exceptions.iter().filter(lossy).filter(|e| e.due_ms.is_some()).collect();
        let dead: Vec<&Exception> =
            exceptions.iter().filter(lossy).filter(|e| e.due_ms.is_none()).collect();
        let mut done = false;
        for target in targets {
            let of = |list: &[&Exception]| -> Vec<Exception> {
                let ours = list.iter().filter(|e| e.target == target.number);
                ours.take(RECORD_ROWS_MAX).map(|e| (*e).clone()).collect()
            };
            done |= self.give_up(oldest, target, &of(&retrying), wait)?;
            done |= self.fold(oldest, target, &of(&dead), wait)?;
        }
        if !done {
            let names: BTreeSet<u16> = exceptions.iter().map(|e| e.target).collect();
            let of_them = targets.iter().filter(|t| names.contains(&t.number)).cloned();
            self.name_those_behind(&of_them.collect::<Vec<_>>());
        }
        Ok(done)
    }

    /// Copies what is still needed of a nearly empty segment to the end of the log.
    fn relocate(
        &self,
        oldest: &Oldest,
        exceptions: &BTreeSet<Exception>,
        wait: Meanwhile<'_>,
    ) -> Result<Relocated, StoreError> {
        let live_bytes_max = (oldest.header.capacity / LIVE_PART).min(LIVE_BYTES_MAX);
        if exceptions.len() >= GATHERED_MAX {
            return Ok(Relocated::default());
        }
        let about = (read_lock(&self.shared.targets).len(), self.shared.clock.wall_ms());
        let about = (u16::try_from(about.0).unwrap_or(u16::MAX), about.1);
        let (all, unreadable) = self.shared.with_index_and_log(|index| {
            copies(&self.shared.reader, index, exceptions, about, live_bytes_max + 1)
        })?;
        let bytes: u64 = all.iter().map(Copy::bytes).sum();
        if bytes > live_bytes_max || all.is_empty() {
            return Ok(Relocated { any: false, unreadable });
        }
        let (mut moved, mut chunk, mut chunk_bytes) = (0, Vec::new(), 0);
        for copy in all {
            chunk_bytes += copy.bytes();
            chunk.push(copy);
            if chunk_bytes >= COPY_BYTES_MAX {
                let copies = std::mem::take(&mut chunk);
                moved += ask(&self.shared, |reply| Command::Relocate { copies, reply }, wait)?;
                chunk_bytes = 0;
            }
        }
        moved += ask(&self.shared, |reply| Command::Relocate { copies: chunk, reply }, wait)?;
        if moved > 0 {
            let segment = oldest.header.path(&self.shared.reader.folder);
            tracing::info!(segment = %segment.display(), events = moved, bytes,
                "copied what is still needed of the oldest segment to the newest");
        }
        Ok(Relocated { any: moved > 0, unreadable })
    }

    /// Gives up deliveries that wait for another attempt; returns whether there were any.
    fn give_up(
        &self,
        oldest: &Oldest,
        target: &Target,
        rows: &[Exception],
        wait: Meanwhile<'_>,
    ) -> Result<bool, StoreError> {
        let reason = if oldest.aged { TOO_OLD } else { OVERFLOW };
        let (mut settled, mut bytes) = (Vec::new(), 0);
        for Exception { number, due_ms, .. } in rows {
            if bytes >= SETTLEMENT_BYTES_MAX {
                break;
            }
            let Some(due_ms) = *due_ms else { continue };
            let row =
                self.shared.with_index(|index| retry_row(index, target.number, due_ms, *number))?;
            let Some(row) = row else { continue };
            let event = event(&self.shared, *number)?;
            let why = match &event {
                Some(_) => reason.to_owned(),
                None => lost_event(&self.shared, target, *number),
            };
            bytes += row.reason.len() + 128;
            settled.push(Settled {
                number: *number,
                received_ms: event.map_or(0, |event| event.received_at.as_millis()),
                row_due_ms: Some(due_ms),
                attempts: row.attempts,
                first_attempt_ms: row.first_attempt_ms,
                what: RecordedOutcome::Dead { reason: with_last(&why, &row.reason) },
            });
        }
        if settled.is_empty() {
            return Ok(false);
        }
        let on = TargetNumber(target.number);
        let count =
            ask(&self.shared, |reply| Command::GiveUp { target: on, rows: settled, reply }, wait)?;
        self.log_given_up(target, count, reason);
        Ok(count > 0)
    }
}

/// Takes the reading locks of all targets; `None` if one of them is taken.
fn alone(targets: &[Arc<Target>]) -> Option<Vec<OwnedMutexGuard<()>>> {
    targets.iter().map(|target| target.loading.clone().try_lock_owned().ok()).collect()
}

fn with_last(reason: &str, last: &str) -> String {
    let text = if last.is_empty() { reason.to_owned() } else { format!("{reason}; last: {last}") };
    cut(text, REASON_BYTES_MAX)
}
