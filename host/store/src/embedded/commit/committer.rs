//! The one thread that writes the log.
//!
//! It takes what waits, gives every record its place, writes all of it at once, syncs once, and then
//! answers. While it syncs, the next group gathers by itself, without a timer.
//! Outcomes alone are not synced; they become durable with the next request, or within a second.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tokio::time::Instant;

use super::group::{Group, Unwritten, Waiting};
use crate::embedded::core::inbox::{Append, Command, Placed, Reply, Stop, Taken, closed};
use crate::embedded::core::shared::Shared;
use crate::embedded::format::entry::{Effects, Entry};
use crate::embedded::format::frame::Frame;
use crate::embedded::format::record::Settlements;
use crate::embedded::index::recent::Recent;
use crate::embedded::indexing::indexer::Job;
use crate::embedded::limits::{GROUP_BYTES_MAX, LAZY_BYTES_MAX, LAZY_MS_MAX, REGISTRATIONS_IN_USE};
use crate::embedded::log::summary::Summary;
use crate::embedded::log::writer::{DiskError, Log};
use crate::embedded::platform::clock::Now;
use crate::embedded::platform::clock_trust::is_set;
use crate::embedded::platform::repeated::Repeated;
use crate::embedded::recovery::open::Known;
use crate::embedded::space::guard::Why;
use crate::embedded::state::apply::State;

pub(crate) struct Committer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) log: Log,
    /// What the durable log says.
    pub(super) state: State,
    /// The durable part of the newest segment.
    pub(super) summary: Summary,
    pub(crate) recent: Recent,
    pub(crate) group: Group,
    /// Refused by the disk, to be written before anything else.
    pub(super) unwritten: VecDeque<Unwritten>,
    pub(super) unwritten_bytes: usize,
    lazy_since: Option<Instant>,
    /// The targets of the last registrations.
    pub(super) in_use: [BTreeSet<u16>; REGISTRATIONS_IN_USE],
    /// Times in a row that the disk refused.
    refused: Repeated,
    /// When the last round began.
    began: Now,
    /// Answered once everything before them is written.
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
            began: shared.now(),
            shared,
            log,
            state,
            summary,
            recent,
            group: Group::default(),
            unwritten: VecDeque::new(),
            unwritten_bytes: 0,
            lazy_since: None,
            in_use: Default::default(),
            refused: Repeated::default(),
            catching_up: Vec::new(),
            index,
        }
    }

    /// What the thread that keeps the index takes jobs from. It ends when all of these are dropped.
    pub(crate) fn index_jobs(&self) -> SyncSender<Job> {
        self.index.clone()
    }

    pub(crate) fn run(mut self) {
        loop {
            let taken = self.shared.inbox.take(self.rest());
            if self.round(taken) {
                return;
            }
        }
    }

    /// How long the thread may sleep; `None`: until it is woken.
    fn rest(&self) -> Option<Duration> {
        let since = self.lazy_since?;
        let deadline = since + Duration::from_millis(LAZY_MS_MAX);
        Some(deadline.saturating_duration_since(self.shared.clock.steady()))
    }

    /// Handles what was taken; `true` when the store closes after it.
    pub(crate) fn round(&mut self, Taken { appends, acts, stop }: Taken) -> bool {
        if stop == Some(Stop::Abandon) {
            return true;
        }
        self.begin_round();
        self.acts(acts);
        let gone = if appends.is_empty() { None } else { self.shared.gone(self.began.steady) };
        let gone = gone.map(DiskError::Full);
        for append in appends {
            if let Some(error) = gone.as_ref().filter(|_| !append.own) {
                Self::refuse(append, error);
                continue;
            }
            self.append(append);
            if self.log.buffered() >= GROUP_BYTES_MAX {
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

    /// After the clock was set, what the index said of keys by the clock before is asked again.
    fn begin_round(&mut self) {
        let now = self.shared.now();
        if is_set(self.began, now) {
            self.shared.keys_kept();
            let dropped = self.recent.doubt();
            self.shared.publish_keys_dropped(dropped);
        }
        self.began = now;
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
        self.lazy_since = if self.group.is_empty() && self.unwritten.is_empty() {
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
        } else if self.group.is_empty() && self.unwritten.is_empty() {
            for reply in std::mem::take(&mut self.catching_up) {
                self.to_index(Job::Mark(reply));
            }
        }
    }

    fn acts(&mut self, acts: VecDeque<Command>) {
        let mut record = Settlements { at_ms: self.began.wall.as_millis(), targets: Vec::new() };
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
                Command::LetGo { target, reply } => self.let_go(target, reply),
                Command::Relocate { copies, reply } => self.relocate(copies, reply),
                Command::EndSegment { before, reply } => self.end_old(before, reply),
                Command::GiveUp { target, rows, reply } => self.give_up(target, rows, reply),
                Command::LoseRows(lost) => lost.into_iter().for_each(|lost| self.lose_rows(lost)),
                Command::Settle { .. } => {}
            }
        }
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
                self.refused.end();
                self.to_index(Job::Entries(entries));
            }
        } else if synced.is_ok() && !self.group.is_empty() {
            return self.ended(Err(DiskError::NoSegment));
        }
        self.ended(synced)
    }

    /// On failure, refuses the requests of the group and queues its other records again.
    pub(super) fn ended(&mut self, done: Result<(), DiskError>) -> Result<(), DiskError> {
        if let Err(error) = &done {
            // A full disk is logged where it is noticed.
            if !matches!(error, DiskError::Full(_))
                && let Some(failures) = self.refused.again()
            {
                tracing::error!(%error, failures, "the log continues in a new segment");
            }
            let refused = std::mem::take(&mut self.group).refuse(&mut self.recent, error);
            for unwritten in refused.into_iter().rev() {
                self.unwritten_bytes +=
                    usize::try_from(unwritten.frame.size()).unwrap_or(usize::MAX);
                self.unwritten.push_front(unwritten);
            }
        }
        done
    }

    /// Writes and syncs everything that waits.
    fn everything(&mut self) -> Result<(), DiskError> {
        self.place_unwritten()?;
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
        // The index thread ends after this one. Only tests run without it.
        let _ = self.index.send(job);
    }

    fn flush(&mut self, reply: Reply<()>) {
        match self.everything() {
            Ok(()) => self.to_index(Job::Mark(reply)),
            Err(error) => drop(reply.send(Err(error.to_store()))),
        }
    }

    /// Refuses a request that is not itself at fault.
    pub(crate) fn refuse(append: Append, error: &DiskError) {
        let _ = append.reply.send(Err(error.to_append()));
    }

    /// Answers a request whose events are all repetitions, once the first ones are durable.
    pub(crate) fn answer(&mut self, append: Append, first_end: u64) {
        let Append { request, reply, .. } = append;
        let placed = Placed { request, lsn: 0 };
        if first_end <= self.log.durable() {
            let _ = reply.send(Ok(placed));
        } else {
            self.group.wait(Waiting::Append { reply, placed });
        }
    }
}

/// However the thread ends, every waiting caller gets an answer.
impl Drop for Committer {
    fn drop(&mut self) {
        let group = std::mem::take(&mut self.group);
        let _ = group.refuse(&mut self.recent, &DiskError::Store(closed()));
        if !self.shared.inbox.stopped() {
            let reason = "the thread that writes the log has ended: restart the daemon";
            self.shared.room.close(Why::Ended, reason.to_owned());
        }
        self.shared.inbox.end();
        self.shared.index.wake_with(None);
        self.shared.wake_all();
    }
}
