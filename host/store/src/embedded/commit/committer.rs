//! The one thread that writes the log.
//!
//! It takes what waits, gives every record its place, writes all of it at once, syncs once, and then
//! answers. While it syncs, the next group gathers by itself: there is no timer that waits for more.
//! Outcomes alone are not synced; they become durable with the next request, or within a second.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use dispatcher_model::TargetNumber;
use tokio::time::Instant;

use super::group::{Group, Kept, Waiting};
use crate::embedded::core::inbox::{Append, Command, Placed, Reply, Stop, Taken, closed, unknown};
use crate::embedded::core::shared::{Shared, Target};
use crate::embedded::format::entry::{Effects, Entry};
use crate::embedded::format::frame::{Frame, Kind};
use crate::embedded::format::record::{self, Registry, Settlements};
use crate::embedded::index::recent::Recent;
use crate::embedded::indexing::indexer::Job;
use crate::embedded::limits::{
    DIGEST_BYTES_MAX, LAZY_BYTES_MAX, LAZY_BYTES_REFUSED, LAZY_MS_MAX, NAME_BYTES_MAX,
    SETTLEMENT_BYTES_MAX,
};
use crate::embedded::log::summary::Summary;
use crate::embedded::log::writer::{DiskError, Log};
use crate::embedded::platform::locks::{lock, read_lock, write_lock};
use crate::embedded::recovery::open::Known;
use crate::embedded::state::apply::State;
use crate::embedded::target::live::ExpireRange;
use crate::embedded::target::settle::open_window;
use crate::{Settlement, StoreError, Window};

pub(crate) struct Committer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) log: Log,
    /// As of what is durable.
    pub(super) state: State,
    /// Of the newest segment, as of what is durable.
    pub(super) summary: Summary,
    pub(crate) recent: Recent,
    pub(crate) group: Group,
    /// Refused by the disk, to be written before anything else.
    kept: VecDeque<Kept>,
    kept_bytes: usize,
    lazy_since: Option<Instant>,
    /// Answered when nothing before them waits to be written any more.
    catching_up: Vec<Reply<()>>,
    index: SyncSender<Job>,
}

impl Committer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        log: Log,
        state: State,
        Known { summary, recent }: Known,
        index: SyncSender<Job>,
    ) -> Self {
        Self {
            shared,
            log,
            state,
            summary,
            recent,
            group: Group::default(),
            kept: VecDeque::new(),
            kept_bytes: 0,
            lazy_since: None,
            catching_up: Vec::new(),
            index,
        }
    }

    pub(crate) fn run(mut self) {
        loop {
            let taken = self.shared.inbox.take(self.rest());
            if self.round(taken) {
                return;
            }
        }
    }

    /// How long it may sleep; `None`: until it is woken.
    fn rest(&self) -> Option<Duration> {
        let since = self.lazy_since?;
        let deadline = since + Duration::from_millis(LAZY_MS_MAX);
        Some(deadline.saturating_duration_since(self.shared.clock.steady()))
    }

    /// Works off what was taken; `true` when that was all there will be.
    pub(crate) fn round(&mut self, Taken { appends, acts, stop }: Taken) -> bool {
        if stop == Some(Stop::Abandon) {
            return true;
        }
        self.acts(acts);
        for append in appends {
            self.append(append);
            if self.log.buffered() >= crate::embedded::limits::GROUP_BYTES_MAX {
                // The group ends here; the rest of what was taken is the next one.
                let _ = self.commit();
            }
        }
        self.end_of_round();
        if stop != Some(Stop::Close) {
            return false;
        }
        if let Err(error) = self.everything() {
            tracing::error!(%error, "outcomes are not on disk: they will be delivered again");
        }
        true
    }

    fn end_of_round(&mut self) {
        let now = self.shared.clock.steady();
        let overdue = self
            .lazy_since
            .is_some_and(|since| now.duration_since(since) >= Duration::from_millis(LAZY_MS_MAX));
        // Callers that wait got the error; the rest is tried again in a second.
        let done = if self.group.urgent() || self.group.lazy_bytes >= LAZY_BYTES_MAX {
            self.commit()
        } else if overdue {
            self.everything()
        } else {
            self.write()
        };
        // The disk took its time.
        let now = self.shared.clock.steady();
        self.lazy_since = if self.group.is_empty() && self.kept.is_empty() {
            None
        } else if overdue {
            Some(now)
        } else {
            self.lazy_since.or(Some(now))
        };
        self.answer_readers(&done);
        let dropped = self.recent.turn(self.shared.indexed(), now);
        self.shared.publish_keys_dropped(dropped);
    }

    /// Answers those who wait to read, once nothing before them is left to write or the disk refuses.
    fn answer_readers(&mut self, done: &Result<(), DiskError>) {
        if let Err(error) = done {
            for reply in self.catching_up.drain(..) {
                let _ = reply.send(Err(error.to_store()));
            }
        } else if self.group.is_empty() && self.kept.is_empty() {
            for reply in std::mem::take(&mut self.catching_up) {
                self.to_index(Job::Mark(reply));
            }
        }
    }

    fn acts(&mut self, acts: VecDeque<Command>) {
        let mut record = Settlements { at_ms: self.shared.clock.wall_ms(), targets: Vec::new() };
        let (mut bytes, mut settled) = (0, Vec::new());
        let mut others = Vec::new();
        for act in acts {
            match act {
                Command::Settle { target, outcomes, window, reply } => {
                    let list = (target, outcomes, window);
                    let answer = self.settle(list, &mut record, &mut bytes);
                    settled.extend(reply.map(|reply| (reply, answer)));
                }
                other => others.push(other),
            }
        }
        self.seal(&mut record);
        for (reply, answer) in settled {
            let _ = reply.send(answer);
        }
        for act in others {
            match act {
                Command::Register { names, reply } => drop(reply.send(self.register(&names))),
                Command::Expire { target, range, before, reply } => {
                    self.expire(target, range, before, reply);
                }
                Command::Flush { reply } => self.flush(reply),
                Command::CatchUp { reply } => self.catching_up.push(reply),
                Command::Operate { target, what, reply } => self.operate(target, what, reply),
                Command::Relocate { copies, reply } => self.relocate(copies, reply),
                Command::GiveUp { target, rows, reply } => self.give_up(target, rows, reply),
                Command::Settle { .. } => {}
            }
        }
    }

    fn settle(
        &mut self,
        (target, outcomes, mut window): (TargetNumber, Vec<Settlement>, Option<Window>),
        record: &mut Settlements,
        bytes: &mut usize,
    ) -> Result<(), StoreError> {
        let target = self.shared.target(target.0).ok_or_else(|| unknown(target))?;
        if self.kept_bytes >= LAZY_BYTES_REFUSED {
            return Err(disk_refuses());
        }
        let store = self.shared.identity.store;
        let mut list: VecDeque<Settlement> =
            outcomes.into_iter().filter(|settlement| settlement.event.store() == store).collect();
        let now = self.shared.clock.now();
        let mut wake = false;
        let record_bytes_max = if window.is_some() {
            // All of a message or nothing: it does not share a record.
            self.seal(record);
            *bytes = 0;
            DIGEST_BYTES_MAX
        } else {
            SETTLEMENT_BYTES_MAX
        };
        while !list.is_empty() {
            let room = record_bytes_max.saturating_sub(*bytes);
            let step = lock(&target.live).settle(&mut list, room.max(1), now);
            wake |= step.wake;
            if let Some(mut settled) = step.record {
                if let Some(window) = window.take() {
                    open_window(&mut settled, window);
                }
                record.targets.push(settled);
                *bytes += step.bytes;
            }
            if *bytes >= SETTLEMENT_BYTES_MAX {
                self.seal(record);
                *bytes = 0;
            }
        }
        if wake {
            target.woken.notify_waiters();
        }
        Ok(())
    }

    /// Gives the outcomes gathered so far their place.
    pub(crate) fn seal(&mut self, record: &mut Settlements) {
        if record.targets.is_empty() {
            return;
        }
        let targets = std::mem::take(&mut record.targets);
        let sealed = Arc::new(Settlements { at_ms: record.at_ms, targets });
        if let Some(frame) = record::frame(Kind::Settlements, &*sealed, 256) {
            self.keep(Kept { frame, effects: Effects::Settlements(sealed) });
        }
    }

    /// Places a record that must not be lost, now or as soon as the disk takes it.
    pub(crate) fn keep(&mut self, kept: Kept) {
        self.kept_bytes += usize::try_from(kept.frame.size()).unwrap_or(usize::MAX);
        self.kept.push_back(kept);
        // The reason reaches those who wait for the disk.
        let _ = self.place_kept();
    }

    pub(crate) fn place_kept(&mut self) -> Result<(), DiskError> {
        while let Some(kept) = self.kept.front() {
            let bytes = kept.frame.size();
            self.make_room(bytes)?;
            // Making room may have put others before it.
            let Some(Kept { mut frame, effects }) = self.kept.pop_front() else { break };
            self.kept_bytes =
                self.kept_bytes.saturating_sub(usize::try_from(frame.size()).unwrap_or(usize::MAX));
            let lsn = self.log.place(&mut frame);
            let entry = self.entry(lsn, &frame, effects);
            self.group.act(entry, frame);
        }
        Ok(())
    }

    pub(crate) fn entry(&self, lsn: u64, frame: &Frame, effects: Effects) -> Entry {
        Entry {
            lsn,
            end: lsn + frame.size(),
            epoch: self.log.epoch(),
            payload_crc: frame.payload_crc,
            effects,
        }
    }

    fn write(&mut self) -> Result<(), DiskError> {
        let written = self.log.write();
        self.ended(written)
    }

    /// Syncs what was placed and answers those who wait.
    pub(crate) fn commit(&mut self) -> Result<(), DiskError> {
        let synced = self.log.sync();
        if synced.is_ok() && self.log.is_open() {
            let group = std::mem::take(&mut self.group);
            let entries = group.durable(&self.shared, self.log.durable());
            for entry in &entries {
                self.state.apply(entry);
                self.summary.add(entry);
            }
            if !entries.is_empty() {
                self.to_index(Job::Entries(entries));
            }
        } else if synced.is_ok() && !self.group.is_empty() {
            return self.ended(Err(DiskError::Other("the log has no segment to write to".into())));
        }
        self.ended(synced)
    }

    /// Takes back what the disk refused.
    pub(super) fn ended(&mut self, done: Result<(), DiskError>) -> Result<(), DiskError> {
        if let Err(error) = &done {
            // For want of room: that was said already, once.
            if let DiskError::Other(_) = error {
                tracing::error!(%error, "the log continues in a new segment");
            }
            let kept = std::mem::take(&mut self.group).refuse(&mut self.recent, error);
            for kept in kept.into_iter().rev() {
                self.kept_bytes += usize::try_from(kept.frame.size()).unwrap_or(usize::MAX);
                self.kept.push_front(kept);
            }
        }
        done
    }

    /// Everything that waits to be written is durable when it answers.
    fn everything(&mut self) -> Result<(), DiskError> {
        self.place_kept()?;
        self.commit()
    }

    pub(super) fn to_index(&self, job: Job) {
        if self.shared.rebuild.is_reading() {
            // The rebuild finds all of it in the log; until then the index does not answer.
            if let Job::Mark(reply) = job {
                let _ = reply.send(Ok(()));
            }
            return;
        }
        // The index thread ends after this one; only tests run without it.
        let _ = self.index.send(job);
    }

    fn flush(&mut self, reply: Reply<()>) {
        match self.everything() {
            Ok(()) => self.to_index(Job::Mark(reply)),
            Err(error) => drop(reply.send(Err(error.to_store()))),
        }
    }

    fn register(&mut self, names: &[Arc<str>]) -> Result<Vec<TargetNumber>, StoreError> {
        let mut known: Vec<Arc<str>> =
            read_lock(&self.shared.targets).iter().map(|target| target.name.clone()).collect();
        let (mut numbers, mut new) = (Vec::new(), Vec::new());
        for name in names {
            let place = known.iter().position(|other| other == name);
            let number =
                u16::try_from(place.unwrap_or(known.len())).map_err(|_| StoreError::TooLarge {
                    what: "the number of targets".into(),
                    max: usize::from(u16::MAX) + 1,
                })?;
            if place.is_none() {
                if name.len() > NAME_BYTES_MAX {
                    return Err(StoreError::TooLarge {
                        what: format!("the name of target {name}, in bytes"),
                        max: NAME_BYTES_MAX,
                    });
                }
                new.push((number, name.to_string()));
                known.push(name.clone());
            }
            numbers.push(TargetNumber(number));
        }
        if !new.is_empty() {
            self.add_targets(Registry { targets: new }).map_err(|error| error.to_store())?;
        }
        Ok(numbers)
    }

    fn add_targets(&mut self, record: Registry) -> Result<(), DiskError> {
        let record = Arc::new(record);
        let mut frame = record::frame(Kind::Registry, &*record, 256)
            .filter(|frame| frame.size() <= self.log.frame_bytes_max())
            .ok_or_else(|| DiskError::Other("too many new targets at once".into()))?;
        self.place_kept()?;
        self.make_room(frame.size())?;
        let lsn = self.log.place(&mut frame);
        let entry = self.entry(lsn, &frame, Effects::Registry(record.clone()));
        self.group.registry(entry);
        self.commit()?;
        let mut targets = write_lock(&self.shared.targets);
        for (number, _) in &record.targets {
            if let Some(state) = self.state.targets.get(usize::from(*number)) {
                targets.push(Arc::new(Target::new(*number, state)));
            }
        }
        Ok(())
    }

    fn expire(
        &mut self,
        number: TargetNumber,
        range: ExpireRange,
        before: dispatcher_model::Timestamp,
        reply: Reply<Option<u64>>,
    ) {
        let Some(target) = self.shared.target(number.0) else {
            return drop(reply.send(Err(unknown(number))));
        };
        let (from, nothing) = (range.from, range.count == 0);
        let mut live = lock(&target.live);
        let went_on = live.next != from;
        let killed = live.expire(range, before);
        drop(live);
        let Some(record) = killed else {
            debug_assert!(went_on || nothing);
            return drop(reply.send(Ok((!went_on).then_some(0))));
        };
        let count = record.count;
        let record = Arc::new(record);
        if let Some(frame) = record::frame(Kind::DeadRange, &*record, 256) {
            self.keep(Kept { frame, effects: Effects::DeadRange(record) });
        }
        if let Some(reply) = self.waits_for_kept(reply) {
            self.group.wait(Waiting::Expired { reply, count });
        }
    }

    /// Gives the reply back unless the disk refuses what was to be kept.
    pub(crate) fn waits_for_kept<T>(&self, reply: Reply<T>) -> Option<Reply<T>> {
        if self.kept.is_empty() {
            return Some(reply);
        }
        let _ = reply.send(Err(disk_refuses()));
        None
    }

    /// Refuses a request, for a reason that is no fault of it.
    pub(crate) fn refuse(append: Append, error: &DiskError) {
        let _ = append.reply.send(Err(error.to_append()));
    }

    /// Answers a request of which everything was there before, once that is durable.
    pub(crate) fn answer(&mut self, append: Append, first_end: u64) {
        let Append { request, reply } = append;
        let placed = Placed { request, lsn: 0 };
        if first_end <= self.log.durable() {
            let _ = reply.send(Ok(placed));
        } else {
            self.group.wait(Waiting::Append { reply, placed });
        }
    }
}

fn disk_refuses() -> StoreError {
    StoreError::Disk { reason: "the disk refuses to write; outcomes are not stored".into() }
}

/// However the thread ends, every waiting caller gets an answer.
impl Drop for Committer {
    fn drop(&mut self) {
        let group = std::mem::take(&mut self.group);
        let _ = group.refuse(&mut self.recent, &DiskError::Other(closed().to_string()));
        self.shared.inbox.end();
        self.shared.wake_all();
    }
}
