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
use crate::embedded::core::inbox::{Act, Append, Placed, Reply, Stop, Taken, closed, unknown};
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
use crate::embedded::log::segments::Segment;
use crate::embedded::log::summary::Summary;
use crate::embedded::log::writer::{DiskError, Log};
use crate::embedded::platform::locks::{lock, read_lock, write_lock};
use crate::embedded::recovery::open::Known;
#[cfg(test)]
use crate::embedded::simulation::{Planted, is_planted};
use crate::embedded::space::guard::Why;
use crate::embedded::state::apply::State;
use crate::embedded::target::live::Kill;
use crate::embedded::target::settle::open_window;
use crate::{Settlement, StoreError, Window};

pub(crate) struct Committer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) log: Log,
    /// As of what is durable.
    state: State,
    /// Of the newest segment, as of what is durable.
    summary: Summary,
    pub(crate) recent: Recent,
    pub(crate) group: Group,
    /// Refused by the disk, to be written before anything else.
    kept: VecDeque<Kept>,
    kept_bytes: usize,
    lazy_since: Option<Instant>,
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

    /// How long it may sleep; `None`: until somebody comes.
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
        // Errors were told to those who wait; what nobody waits for is tried again in a second.
        let _ = if self.group.urgent() || self.group.lazy_bytes >= LAZY_BYTES_MAX {
            self.commit()
        } else if overdue {
            self.everything()
        } else {
            self.write()
        };
        #[cfg(test)]
        if is_planted(Planted::IndexAhead) {
            let entries = crate::embedded::simulation::not_sent(self.group.entries());
            if !entries.is_empty() {
                self.to_index(Job::Entries(entries));
            }
        }
        // The disk took its time.
        let now = self.shared.clock.steady();
        self.lazy_since = if self.group.is_empty() && self.kept.is_empty() {
            None
        } else if overdue {
            Some(now)
        } else {
            self.lazy_since.or(Some(now))
        };
        let dropped = self.recent.turn(self.shared.indexed(), now);
        self.shared.publish_keys_dropped(dropped);
    }

    fn acts(&mut self, acts: VecDeque<Act>) {
        let mut record = Settlements { at_ms: self.shared.clock.wall_ms(), targets: Vec::new() };
        let (mut bytes, mut settled) = (0, Vec::new());
        let mut others = Vec::new();
        for act in acts {
            match act {
                Act::Settle { target, outcomes, window, reply } => {
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
                Act::Register { names, reply } => drop(reply.send(self.register(&names))),
                Act::Kill { target, range, before, reply } => {
                    self.kill(target, range, before, reply);
                }
                Act::Flush { reply } => self.flush(reply),
                Act::Operate { target, what, reply } => self.operate(target, what, reply),
                Act::Carry { copies, reply } => self.carry(copies, reply),
                Act::Bury { target, rows, reply } => self.bury(target, rows, reply),
                Act::Settle { .. } => {}
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
            #[cfg(test)]
            let room = if is_planted(Planted::DigestInParts) { 33 } else { room };
            let step = lock(&target.live).settle(&mut list, room.max(1), now);
            wake |= step.wake;
            if let Some(mut settled) = step.record {
                #[cfg(test)]
                crate::embedded::simulation::spoil(&mut settled, &lock(&target.live));
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
            #[cfg(test)]
            if is_planted(Planted::DigestInParts) {
                self.seal(record);
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

    /// Room for the summary at the end of the segment.
    fn reserve(&self) -> u64 {
        Summary::frame_bytes_max(self.state.targets.len() + 1)
    }

    /// Whether a frame of so many bytes needs a new segment.
    pub(crate) fn would_roll(&self, bytes: u64) -> bool {
        !(self.log.is_open() && self.log.fits(bytes + self.reserve()))
    }

    /// Whether the log has no room for another segment.
    pub(crate) fn is_full(&self) -> bool {
        let segments = read_lock(&self.shared.reader.segments);
        self.shared.keeping.is_full(&segments, self.shared.spare.capacity)
    }

    /// Requests are refused until a segment goes.
    pub(crate) fn no_room(&self) -> DiskError {
        let Shared { keeping, directory, room, .. } = &*self.shared;
        let kept_by = lock(&keeping.kept_by).clone();
        let kept_by = if kept_by.is_empty() { "a target".to_owned() } else { kept_by };
        let reason = format!(
            "the log in {} has reached store.retention.size ({} bytes), and {kept_by} still needs \
             its oldest part: let it deliver, drop what waits for it, or allow more",
            directory.display(),
            keeping.bytes_max.unwrap_or_default(),
        );
        room.close(Why::Quota, reason.clone());
        keeping.ring();
        DiskError::Full(reason)
    }

    /// Makes the log take that many bytes: rolls to the next segment, or opens a new one after a
    /// failure.
    pub(crate) fn make_room(&mut self, bytes: u64) -> Result<(), DiskError> {
        let bytes = bytes + self.reserve();
        let outdone = self.log.is_outdone() && !self.is_full();
        if self.log.is_open() && self.log.fits(bytes) && !outdone {
            return Ok(());
        }
        if self.log.is_open() {
            self.commit()?;
            self.end_segment()?;
        }
        let bytes_max = self.log.frame_bytes_max() / 2;
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let (kind, checkpoint) = self.state.checkpoint(bytes_max);
        let frame = record::frame(kind, &checkpoint, 1_024)
            .ok_or_else(|| DiskError::Other("the checkpoint is too large".into()))?;
        let (size, payload_crc) = (frame.size(), frame.payload_crc);
        let segment = self.log.roll(frame)?;
        let ended = std::mem::take(&mut self.summary);
        let mut segments = write_lock(&self.shared.reader.segments);
        if let Some(last) = segments.list.last_mut() {
            last.summary = Some(Arc::new(ended));
        }
        segments.list.push(Segment::new(segment, None));
        segments.tail = self.log.durable();
        drop(segments);
        // With no room for another one none is made in advance.
        self.shared.spare.want(!self.is_full());
        self.shared.keeping.ring();
        let (lsn, effects) = (segment.first(), Effects::Checkpoint(Arc::new(checkpoint)));
        let entry = Entry { lsn, end: lsn + size, epoch: self.log.epoch(), payload_crc, effects };
        self.state.apply(&entry);
        self.to_index(Job::Entries(vec![entry]));
        self.to_index(Job::Sync);
        if self.log.fits(bytes) {
            return Ok(());
        }
        Err(DiskError::Other(
            "a segment is too small for so many targets: set a larger size".into(),
        ))
    }

    /// Writes the summary behind all that is durable. Without one the segment is read to be known.
    fn end_segment(&mut self) -> Result<(), DiskError> {
        if let Some(mut frame) = self.summary.frame()
            && self.log.fits(frame.size())
        {
            self.log.place(&mut frame);
            let synced = self.log.sync();
            return self.ended(synced);
        }
        Ok(())
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
    fn ended(&mut self, done: Result<(), DiskError>) -> Result<(), DiskError> {
        if let Err(error) = &done {
            // For want of room: that was said already, once.
            if let DiskError::Other(_) = error {
                tracing::error!(%error, "the log goes on in a new segment");
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

    fn to_index(&self, job: Job) {
        if self.shared.rebuild.is_reading() {
            // It finds all of it in the log; whoever asks the index is told that there is none.
            if let Job::Mark(reply) = job {
                let _ = reply.send(Ok(()));
            }
            return;
        }
        // The thread ends only after this one: nobody is there in tests alone.
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

    fn kill(
        &mut self,
        number: TargetNumber,
        range: Kill,
        before: dispatcher_model::Timestamp,
        reply: Reply<Option<u64>>,
    ) {
        let Some(target) = self.shared.target(number.0) else {
            return drop(reply.send(Err(unknown(number))));
        };
        let (from, nothing) = (range.from, range.count == 0);
        let mut live = lock(&target.live);
        let went_on = live.next != from;
        let killed = live.kill(range, before);
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
            self.group.wait(Waiting::Killed { reply, count });
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

/// However the thread ends, nobody waits for it any more.
impl Drop for Committer {
    fn drop(&mut self) {
        let group = std::mem::take(&mut self.group);
        let _ = group.refuse(&mut self.recent, &DiskError::Other(closed().to_string()));
        self.shared.inbox.end();
        self.shared.wake_all();
    }
}
