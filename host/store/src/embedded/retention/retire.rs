//! Removes old segments: when they are too old, or when the log is too large.
//!
//! Only the oldest is removed, and only when nothing unsettled is in it. What is too old and not settled
//! becomes a dead letter first; for want of room, what is still needed of a nearly dead segment is moved
//! to the head of the log (`moving`). Everything that is decided here is a record before the segment
//! goes, so that a crash at any moment leaves a log that says the same.
//!
//! One step does a bounded piece of work, under the reading locks of all targets: a look at the
//! exceptions, then one record or the copies of one segment.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use dispatcher_model::{REASON_BYTES_MAX, TargetNumber, Timestamp};
use tokio::sync::{OwnedMutexGuard, oneshot};

use super::relocate::{Exception, GATHERED_MAX, copies, gather, retry_row};
use crate::StoreError;
use crate::embedded::core::inbox::{Command, Reply, closed};
use crate::embedded::core::shared::{Shared, Target};
use crate::embedded::deliveries::expire::{Frozen, look};
use crate::embedded::format::event_number::number;
use crate::embedded::format::record::{RecordedOutcome, Settled};
use crate::embedded::format::segment_header::SegmentHeader;
use crate::embedded::index::rows::{Index, IndexError};
use crate::embedded::index::sweep::sweep;
use crate::embedded::limits::{SETTLEMENT_BYTES_MAX, cut};
use crate::embedded::log::segments::Segment;
use crate::embedded::log::summary::Summary;
use crate::embedded::platform::locks::{lock, read_lock, write_lock};
use crate::embedded::space::guard::Why;

/// While something keeps the oldest segment, it is looked at again after this long, and sooner while
/// requests are refused for it.
const LOOK: Duration = Duration::from_secs(10);

const LOOK_FULL: Duration = Duration::from_secs(1);

/// Without anything to do for age alone, it is looked at again after this long at the latest.
const LOOK_AGE: Duration = Duration::from_secs(3_600);

/// Between two steps while there is more to do.
const PAUSE: Duration = Duration::from_millis(20);

/// Between two questions whether the answer is there.
const POLL: Duration = Duration::from_millis(1);

/// Most deliveries of one record.
const RECORD_ROWS_MAX: usize = 1_000;

/// A segment is nearly dead when a tenth of it is still needed, and no more than this.
const LIVE_PART: u64 = 10;

const LIVE_BYTES_MAX: u64 = 16 << 20;

/// Copies that are handed to the committer at once.
const COPY_BYTES_MAX: u64 = 1 << 20;

pub(crate) const PAGE_ROWS: usize = 1_024;

/// Names of targets that are told to keep the oldest segment.
const NAMES_MAX: usize = 5;

const TOO_OLD: &str = "older than retention.age";

const OVERFLOW: &str = "overflow: the log reached retention.size";

/// The oldest segment, when it has to go.
pub(crate) struct Oldest {
    pub header: SegmentHeader,
    pub summary: Arc<Summary>,
    /// Where the next one begins.
    pub end: u64,
    /// Everything in it is too old.
    pub aged: bool,
    pub now_ms: u64,
}

/// What a step came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stepped {
    /// There may be more to do at once.
    More,
    /// Nothing is to be done for so long, unless the log continues in a new segment.
    Rest(Option<Duration>),
}

pub(crate) struct Retention {
    pub(super) shared: Arc<Shared>,
    /// Out of the log, but still being read.
    leaving: Option<Segment>,
}

/// Called while an answer is awaited.
pub(crate) type Meanwhile<'a> = &'a mut dyn FnMut();

fn index_error(error: &IndexError) -> StoreError {
    StoreError::ReadIndex { reason: error.to_string() }
}

impl Retention {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared, leaving: None }
    }

    pub(crate) fn run(mut self) {
        loop {
            let rest = match self.step(&mut || std::thread::sleep(POLL)) {
                Stepped::More => Some(PAUSE),
                Stepped::Rest(rest) => rest,
            };
            if self.shared.keeping.wait(rest) {
                return;
            }
        }
    }

    pub(crate) fn step(&mut self, meanwhile: Meanwhile<'_>) -> Stepped {
        if let Some(segment) = self.leaving.take() {
            return self.leave(segment);
        }
        // A new index is made from what is there.
        if self.shared.rebuild.is_on() {
            return Stepped::Rest(Some(LOOK));
        }
        let Some(oldest) = self.oldest() else { return Stepped::Rest(self.next_look()) };
        match self.reclaim(&oldest, meanwhile) {
            Ok(true) => Stepped::More,
            Ok(false) => Stepped::Rest(Some(self.look_again())),
            Err(error) => {
                if !self.shared.inbox.stopped() {
                    tracing::warn!(%error, "cannot remove an old log segment yet");
                }
                Stepped::Rest(Some(LOOK))
            }
        }
    }

    fn look_again(&self) -> Duration {
        if self.shared.room.is_closed(Why::Quota) { LOOK_FULL } else { LOOK }
    }

    fn oldest(&self) -> Option<Oldest> {
        let (now, keeping) = (self.shared.clock.now(), &self.shared.keeping);
        // Asked each time, so that no jump goes unseen.
        let believed = keeping.is_clock_believed(now);
        let segments = read_lock(&self.shared.reader.segments);
        let [first, next, ..] = &segments.list[..] else { return None };
        let summary = first.summary.clone()?;
        let now_ms = now.wall.as_millis();
        let old = keeping.age_ms.is_some_and(|age| summary.last_ms.saturating_add(age) < now_ms);
        let aged = believed && old;
        let full = keeping.wants_room(&segments, self.shared.spare.capacity);
        let (header, end) = (first.header, next.header.base);
        (aged || full).then_some(Oldest { header, summary, end, aged, now_ms })
    }

    /// When the oldest segment will be too old; a new segment rings.
    fn next_look(&self) -> Option<Duration> {
        let age_ms = self.shared.keeping.age_ms?;
        let segments = read_lock(&self.shared.reader.segments);
        let [first, _, ..] = &segments.list[..] else { return None };
        let due_ms = first.summary.as_ref()?.last_ms.saturating_add(age_ms);
        let left = Duration::from_millis(due_ms.saturating_sub(self.shared.clock.wall_ms()));
        Some(left.clamp(LOOK, LOOK_AGE))
    }

    /// Brings the oldest segment nearer to its end; `false`: it has to stay for now.
    fn reclaim(&mut self, oldest: &Oldest, wait: Meanwhile<'_>) -> Result<bool, StoreError> {
        let targets = read_lock(&self.shared.targets).clone();
        let behind = self.behind(oldest, &targets)?;
        let may_give_up =
            |t: &Arc<Target>| oldest.aged || self.shared.keeping.may_overflow(t.number);
        if behind.iter().any(|target| !may_give_up(target)) {
            self.kept_by(&behind);
            return Ok(false);
        }
        let Some(_alone) = alone(&targets) else { return Ok(true) };
        let mut given_up = 0;
        for target in &behind {
            given_up += self.give_up_unread(oldest, target, wait)?;
        }
        ask(&self.shared, |reply| Command::Flush { reply }, wait)?;
        if !self.behind(oldest, &targets)?.is_empty() {
            // Some of it is claimed and will be settled.
            self.kept_by(&behind);
            return Ok(given_up > 0);
        }
        let count = u16::try_from(targets.len()).unwrap_or(u16::MAX);
        let exceptions = self.with_index(|index| gather(index, count, oldest.end))?;
        if !exceptions.is_empty() {
            return self.take_out(oldest, &targets, &exceptions, wait);
        }
        if self.ranges(oldest, count, wait)? {
            return Ok(true);
        }
        self.free(oldest);
        Ok(true)
    }

    pub(crate) fn with_index<T>(
        &self,
        read: impl FnOnce(&dyn Index) -> Result<T, IndexError>,
    ) -> Result<T, StoreError> {
        let index = read_lock(&self.shared.index);
        read(&**index.as_ref().ok_or_else(|| self.shared.no_index())?)
            .map_err(|error| index_error(&error))
    }

    /// Targets that have not settled everything they were to get from the segment.
    fn behind(
        &self,
        oldest: &Oldest,
        targets: &[Arc<Target>],
    ) -> Result<Vec<Arc<Target>>, StoreError> {
        let rows = self.with_index(|index| index.targets())?;
        let behind = targets.iter().zip(rows).filter(|(target, state)| {
            let (cursor, last) = (state.cursor, state.last_routed);
            cursor < number(oldest.end, 0)
                && last.is_some_and(|last| last >= cursor)
                && oldest.summary.may_have(target.number, cursor)
        });
        Ok(behind.map(|(target, _)| target.clone()).collect())
    }

    fn kept_by(&self, targets: &[Arc<Target>]) {
        let names: Vec<&str> = targets.iter().take(NAMES_MAX).map(|t| &*t.name).collect();
        *lock(&self.shared.keeping.kept_by) = names.join(", ");
    }

    /// What of the segment was never tried dies by one record; answers how many did.
    fn give_up_unread(
        &self,
        oldest: &Oldest,
        target: &Arc<Target>,
        wait: Meanwhile<'_>,
    ) -> Result<u64, StoreError> {
        let _frozen = Frozen::new(target);
        let newest = Timestamp::from_millis(oldest.summary.newest_ms.saturating_add(1));
        let age_ms = self.shared.keeping.age_ms.unwrap_or_default();
        let (before, reason) = if oldest.aged {
            (newest.max(Timestamp::from_millis(oldest.now_ms.saturating_sub(age_ms))), TOO_OLD)
        } else {
            (newest, OVERFLOW)
        };
        let Some(range) = look(&self.shared, target, before, reason.to_owned())? else {
            return Ok(0);
        };
        let number = TargetNumber(target.number);
        let kill = |reply| Command::Expire { target: number, range, before, reply };
        let count = ask(&self.shared, kill, wait)?.unwrap_or(0);
        if count > 0 {
            tracing::warn!(to = %target.name, count, "deliveries were given up: {reason}");
        }
        Ok(count)
    }

    /// Moves what is still needed, or gives it up where that is allowed.
    fn take_out(
        &self,
        oldest: &Oldest,
        targets: &[Arc<Target>],
        exceptions: &BTreeSet<Exception>,
        wait: Meanwhile<'_>,
    ) -> Result<bool, StoreError> {
        let lossy = |e: &&Exception| oldest.aged || self.shared.keeping.may_overflow(e.target);
        if !oldest.aged && self.relocate(oldest, exceptions, wait)? {
            return Ok(true);
        }
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
            self.kept_by(&of_them.collect::<Vec<_>>());
        }
        Ok(done)
    }

    /// Copies to the head what is needed of a nearly dead segment; whether anything was.
    fn relocate(
        &self,
        oldest: &Oldest,
        exceptions: &BTreeSet<Exception>,
        wait: Meanwhile<'_>,
    ) -> Result<bool, StoreError> {
        let live_bytes_max = (oldest.header.capacity / LIVE_PART).min(LIVE_BYTES_MAX);
        if exceptions.len() >= GATHERED_MAX {
            return Ok(false);
        }
        let about = (read_lock(&self.shared.targets).len(), self.shared.clock.wall_ms());
        let about = (u16::try_from(about.0).unwrap_or(u16::MAX), about.1);
        let all = {
            let index = read_lock(&self.shared.index);
            let index = &**index.as_ref().ok_or_else(|| self.shared.no_index())?;
            copies(&self.shared.reader, index, exceptions, about, live_bytes_max + 1)?.0
        };
        let bytes: u64 = all.iter().map(crate::embedded::core::inbox::Copy::bytes).sum();
        if bytes > live_bytes_max || all.is_empty() {
            return Ok(false);
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
                "what is still needed of the oldest segment was moved to the newest");
        }
        Ok(moved > 0)
    }

    /// Deliveries that waited for another attempt become dead letters.
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
            let row = self.with_index(|index| retry_row(index, target.number, due_ms, *number))?;
            let Some(row) = row else { continue };
            let event = crate::embedded::core::events::event(&self.shared, *number)?;
            bytes += row.reason.len() + 128;
            settled.push(Settled {
                number: *number,
                received_ms: event.map_or(0, |event| event.received_at.as_millis()),
                row_due_ms: Some(due_ms),
                attempts: row.attempts,
                first_attempt_ms: row.first_attempt_ms,
                what: RecordedOutcome::Dead { reason: with_last(reason, &row.reason) },
            });
        }
        if settled.is_empty() {
            return Ok(false);
        }
        let on = TargetNumber(target.number);
        let count =
            ask(&self.shared, |reply| Command::GiveUp { target: on, rows: settled, reply }, wait)?;
        if count > 0 {
            tracing::warn!(to = %target.name, count, "deliveries were given up: {reason}");
        }
        Ok(count > 0)
    }

    /// Takes the segment out of the log. Readers no longer find it.
    fn free(&mut self, oldest: &Oldest) {
        let mut segments = write_lock(&self.shared.reader.segments);
        if segments.list.first().is_none_or(|first| first.header != oldest.header) {
            return;
        }
        let segment = segments.list.remove(0);
        drop(segments);
        lock(&self.shared.keeping.kept_by).clear();
        let path = segment.header.path(&self.shared.reader.folder);
        let Summary { requests, events, .. } = &*oldest.summary;
        let why = if oldest.aged { "it is older than retention.age" } else { "the log is full" };
        tracing::info!(segment = %path.display(), requests, events, "removed a log segment: {why}");
        self.leave(segment);
    }

    /// Uses the file again when its last reader is done; then sweeps the index. The next segment stays
    /// until then: one that has its name still, and not the one behind it, would be a hole at a start.
    fn leave(&mut self, segment: Segment) -> Stepped {
        if Arc::strong_count(&segment.read) > 1 {
            self.leaving = Some(segment);
            return Stepped::More;
        }
        let (reader, spare) = (&self.shared.reader, &self.shared.spare);
        let path = segment.header.path(&reader.folder);
        if let Err(error) = spare.recycle(&*reader.disk, &path, &reader.folder) {
            tracing::warn!(path = %path.display(), %error,
                "a segment that is not needed any more cannot be removed: tried again soon");
            self.leaving = Some(segment);
            return Stepped::Rest(Some(LOOK));
        }
        let targets = u16::try_from(read_lock(&self.shared.targets).len()).unwrap_or(u16::MAX);
        if let Err(error) = self.with_index(|index| sweep(index, targets, reader.start())) {
            tracing::warn!(%error, "rows of what is gone stay in the index until the next start");
        }
        self.shared.room.open(Why::Quota);
        Stepped::More
    }
}

/// Keeps all targets from reading, and people from acting on them; `None` when one of them does.
fn alone(targets: &[Arc<Target>]) -> Option<Vec<OwnedMutexGuard<()>>> {
    targets.iter().map(|target| target.loading.clone().try_lock_owned().ok()).collect()
}

/// Hands an act to the committer and waits for its answer.
pub(crate) fn ask<T>(
    shared: &Shared,
    act: impl FnOnce(Reply<T>) -> Command,
    meanwhile: Meanwhile<'_>,
) -> Result<T, StoreError> {
    let (reply, mut answer) = oneshot::channel();
    shared.inbox.act(act(reply))?;
    loop {
        match answer.try_recv() {
            Ok(answer) => return answer,
            Err(oneshot::error::TryRecvError::Empty) => meanwhile(),
            Err(oneshot::error::TryRecvError::Closed) => return Err(closed()),
        }
    }
}

fn with_last(reason: &str, last: &str) -> String {
    let text = if last.is_empty() { reason.to_owned() } else { format!("{reason}; last: {last}") };
    cut(text, REASON_BYTES_MAX)
}
