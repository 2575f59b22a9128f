//! Removes segments that are too old, or when the log is too large.
//!
//! Only the oldest segment is removed, and only when nothing in it is still needed. Before that, what is
//! too old becomes a dead letter; when the log is too large, what is still needed of a nearly empty
//! segment is copied to the end of the log (`reclaim`). Each decision is recorded before the segment is
//! removed, so a crash at any moment leaves a log that says the same.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use dispatcher_model::Timestamp;
use tokio::time::Instant;

use crate::StoreError;
use crate::embedded::core::inbox::{Command, Reply};
use crate::embedded::core::shared::Shared;
use crate::embedded::format::segment_header::SegmentHeader;
use crate::embedded::index::sweep::sweep;
use crate::embedded::log::beginning::mark;
use crate::embedded::log::segments::Segment;
use crate::embedded::log::summary::Summary;
use crate::embedded::platform::clock::END_OF_TIME;
use crate::embedded::platform::locks::{lock, read_lock, write_lock};
use crate::embedded::platform::repeated::Repeated;
use crate::embedded::space::guard::Why;

/// Pause before the next look at the oldest segment while something needs it …
const LOOK: Duration = Duration::from_secs(10);

/// … and while requests are refused because of that.
const LOOK_FULL: Duration = Duration::from_secs(1);

/// Longest pause while the oldest segment is not old enough.
const LOOK_AGE: Duration = Duration::from_secs(3_600);

/// The newest segment ends when its first request has this part of the age: what is removed is older by no more.
const AGE_PARTS: u64 = 10;

/// … while the log takes no more than this part of its size.
const SIZE_PARTS: u64 = 2;

/// Pause between two steps.
const PAUSE: Duration = Duration::from_millis(20);

/// Pause between two looks for an answer.
const POLL: Duration = Duration::from_millis(1);

pub(crate) const PAGE_ROWS: usize = 1_024;

/// The oldest segment, which is to be removed.
pub(crate) struct Oldest {
    pub header: SegmentHeader,
    pub summary: Arc<Summary>,
    /// Where the next one begins.
    pub end: u64,
    /// Everything in it is too old.
    pub aged: bool,
    pub now_ms: u64,
}

/// What a step did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stepped {
    /// There may be more to do now.
    More,
    /// Nothing to do for that long, unless the log continues in a new segment.
    Rest(Option<Duration>),
}

pub(crate) struct Retention {
    pub(super) shared: Arc<Shared>,
    /// A segment that is no longer part of the log but still being read.
    leaving: Option<Segment>,
    /// Times in a row that a segment could not be removed, or its rows.
    failed: Repeated,
    /// Times in a row that the newest segment could not be ended.
    unended: Repeated,
    /// Records that gave up deliveries of the oldest segment, and how many deliveries.
    pub(super) given_up: Cell<(Repeated, u64)>,
    /// When the newest segment was last looked at.
    looked: Option<Instant>,
}

/// Called again and again until an answer is there.
pub(crate) type Meanwhile<'a> = &'a mut dyn FnMut();

impl Retention {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            leaving: None,
            failed: Repeated::default(),
            unended: Repeated::default(),
            given_up: Cell::default(),
            looked: None,
        }
    }

    pub(crate) fn run(mut self) {
        loop {
            let rest = match self.step(&mut || std::thread::sleep(POLL)) {
                Stepped::More => Some(PAUSE),
                Stepped::Rest(rest) => rest,
            };
            if self.shared.retention.wait(rest) {
                return;
            }
        }
    }

    pub(crate) fn step(&mut self, meanwhile: Meanwhile<'_>) -> Stepped {
        if self.shared.room.is_closed(Why::Gone) {
            // What is there now is not the log of this store.
            return Stepped::Rest(Some(LOOK));
        }
        if let Some(segment) = self.leaving.take() {
            return self.leave(segment);
        }
        // A rebuild of the index reads all segments.
        if self.shared.rebuild.is_on() {
            return Stepped::Rest(Some(LOOK));
        }
        let has_news = self.end_newest(meanwhile);
        let Some(oldest) = self.oldest() else {
            return Stepped::Rest(if has_news { Some(LOOK) } else { self.next_look() });
        };
        match self.reclaim(&oldest, meanwhile) {
            Ok(true) => Stepped::More,
            Ok(false) => Stepped::Rest(Some(self.look_again())),
            Err(error) => {
                if !self.shared.inbox.stopped()
                    && let Some(failures) = self.failed.again()
                {
                    tracing::warn!(%error, failures, "cannot remove an old log segment yet");
                }
                Stepped::Rest(Some(LOOK))
            }
        }
    }

    fn look_again(&self) -> Duration {
        if self.shared.room.is_closed(Why::Quota) { LOOK_FULL } else { LOOK }
    }

    /// Ends the newest segment when it is old enough: otherwise it would stay until it is full. Returns whether the next
    /// one still has to say how far the clock was set.
    fn end_newest(&mut self, meanwhile: Meanwhile<'_>) -> bool {
        let (now, limits) = (self.shared.now(), &self.shared.retention);
        let is_due = |looked: Instant| now.steady >= looked + LOOK;
        let bytes = read_lock(&self.shared.reader.segments).bytes();
        let crowded = limits.bytes_max.is_some_and(|max| bytes > max / SIZE_PARTS);
        // The next segment says how far the clock was set, so that a start knows it.
        let is_news = limits.has_clock_news(now);
        let is_old = || {
            let age_ms = limits.age_ms.filter(|_| limits.is_clock_trusted(now) && !crowded)?;
            Some(Timestamp::from_millis(limits.now_ms(now).saturating_sub(age_ms / AGE_PARTS)))
        };
        let before = if is_news { Some(END_OF_TIME) } else { is_old() };
        let Some(before) = before.filter(|_| self.looked.is_none_or(is_due)) else {
            return is_news;
        };
        self.looked = Some(now.steady);
        let ended = ask(&self.shared, |reply| Command::EndSegment { before, reply }, meanwhile);
        match &ended {
            Ok(_) => self.unended.end(),
            Err(error) if !self.shared.inbox.stopped() => {
                if let Some(failures) = self.unended.again() {
                    tracing::warn!(%error, failures, "cannot end the newest log segment yet");
                }
            }
            Err(_) => {}
        }
        is_news && !matches!(ended, Ok(true))
    }

    fn oldest(&self) -> Option<Oldest> {
        let (now, limits) = (self.shared.now(), &self.shared.retention);
        // Checked each time, so that no jump of the clock is missed.
        let trusted = limits.is_clock_trusted(now);
        let segments = read_lock(&self.shared.reader.segments);
        let [first, next, ..] = &segments.list[..] else { return None };
        let summary = first.summary.clone()?;
        let (now_ms, last_ms) = (limits.now_ms(now), last_wall_ms(&summary, next));
        let old = limits.age_ms.is_some_and(|age| last_ms.saturating_add(age) < now_ms);
        let aged = trusted && old;
        let full = limits.wants_room(&segments, self.shared.spare.capacity);
        let (header, end) = (first.header, next.header.base);
        (aged || full).then_some(Oldest { header, summary, end, aged, now_ms })
    }

    /// When the oldest segment will be too old. A new segment wakes the thread.
    fn next_look(&self) -> Option<Duration> {
        let age_ms = self.shared.retention.age_ms?;
        let newest = Duration::from_millis(age_ms / AGE_PARTS).clamp(LOOK, LOOK_AGE);
        let segments = read_lock(&self.shared.reader.segments);
        let [first, next, ..] = &segments.list[..] else { return Some(newest) };
        let Some(summary) = &first.summary else { return Some(newest) };
        let due_ms = last_wall_ms(summary, next).saturating_add(age_ms);
        let now_ms = self.shared.retention.now_ms(self.shared.now());
        let left = Duration::from_millis(due_ms.saturating_sub(now_ms));
        Some(left.clamp(LOOK, newest))
    }

    /// Takes the segment out of the log, once the next one says that the log begins there. Readers no longer find it.
    pub(super) fn free(&mut self, oldest: &Oldest) -> Result<(), StoreError> {
        let reader = &self.shared.reader;
        let next = match &read_lock(&reader.segments).list[..] {
            [first, next, ..] if first.header == oldest.header => next.header,
            _ => return Ok(()),
        };
        mark(&*reader.disk, &reader.folder, &next).map_err(|error| StoreError::Disk {
            reason: format!(
                "cannot mark the segment {}: {error}",
                next.path(&reader.folder).display()
            ),
        })?;
        let mut segments = write_lock(&reader.segments);
        if segments.list.first().is_none_or(|first| first.header != oldest.header) {
            return Ok(());
        }
        let segment = segments.list.remove(0);
        drop(segments);
        self.given_up.take();
        lock(&self.shared.retention.kept_by).clear();
        let path = segment.header.path(&reader.folder);
        let Summary { requests, events, .. } = &*oldest.summary;
        let why = if oldest.aged { "it is older than retention.age" } else { "the log is full" };
        tracing::info!(segment = %path.display(), requests, events, "removed a log segment: {why}");
        self.leave(segment);
        Ok(())
    }

    /// Recycles the file once its last reader is done, then sweeps the index. Only after that may the next
    /// segment be removed: if this one still had its name, the next would be missing in the middle.
    fn leave(&mut self, segment: Segment) -> Stepped {
        if Arc::strong_count(&segment.read) > 1 {
            self.leaving = Some(segment);
            return Stepped::More;
        }
        let (reader, spare) = (&self.shared.reader, &self.shared.spare);
        let path = segment.header.path(&reader.folder);
        if let Err(error) = spare.recycle(&*reader.disk, &segment.header, &reader.folder) {
            if let Some(failures) = self.failed.again() {
                tracing::warn!(path = %path.display(), %error, failures,
                    "cannot remove an old segment; trying again soon");
            }
            self.leaving = Some(segment);
            return Stepped::Rest(Some(LOOK));
        }
        let targets = u16::try_from(read_lock(&self.shared.targets).len()).unwrap_or(u16::MAX);
        if let Err(error) = self.shared.with_index(|index| sweep(index, targets, reader.start())) {
            if let Some(failures) = self.failed.again() {
                tracing::warn!(%error, failures,
                    "cannot remove rows of removed events from the index; the next start does it");
            }
        } else {
            self.failed.end();
        }
        self.shared.room.open(Why::Quota);
        Stepped::More
    }
}

/// When the last record of a closed segment was made, by the wall clock. The time that the daemon has seen may be
/// ahead of it for good; the next segment, which was made later, shows that, unless the clock was set back.
fn last_wall_ms(summary: &Summary, next: &Segment) -> u64 {
    let made_ms = next.header.created_ms;
    if made_ms >= summary.newest_ms { summary.last_ms.min(made_ms) } else { summary.last_ms }
}

/// Sends a command to the committer and waits for its answer.
pub(crate) fn ask<T>(
    shared: &Shared,
    act: impl FnOnce(Reply<T>) -> Command,
    meanwhile: Meanwhile<'_>,
) -> Result<T, StoreError> {
    let mut answer = shared.send(act)?;
    loop {
        match answer.now() {
            Some(answer) => return answer,
            None => meanwhile(),
        }
    }
}
