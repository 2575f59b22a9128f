//! The thread that keeps the index: it turns durable frames into rows, many frames to a batch.
//!
//! It may lag behind the log by a bounded number of group commits; then the committer waits for it. An index that fails is rebuilt, see `reindex`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use super::lost_rows;
use super::reindex::{self, Rest};
use crate::embedded::core::inbox::Reply;
use crate::embedded::core::machine::Machine;
use crate::embedded::core::shared::Shared;
use crate::embedded::format::entry::{Effects, Entry};
use crate::embedded::format::record::ActKind;
use crate::embedded::index::rows::{Batch, Index, IndexError, KeysKept, LAYOUT, Stamp};
use crate::embedded::platform::locks::lock;
use crate::embedded::state::apply::State;

/// Most group commits that wait for the index: more than a fast disk makes in a [`PAUSE`].
const JOBS_MAX: usize = 256;

/// Rest after a batch. Being woken for each group commit would cost more than the rows.
const PAUSE: Duration = Duration::from_millis(5);

/// A batch takes no further job above this many rows.
const ROWS_MAX: usize = 4_096;

pub(crate) enum Job {
    Entries(Vec<Entry>),
    /// Answered when everything before is in the index.
    Mark(Reply<()>),
    /// Puts what the index holds onto the medium: a rebuild after a power cut starts later.
    Sync,
    /// The index failed while another thread read from it.
    Failed,
}

pub(crate) fn channel() -> (SyncSender<Job>, Receiver<Job>) {
    sync_channel(JOBS_MAX)
}

/// Rows of a target that changed, for its part in memory.
#[derive(Default)]
pub(crate) struct Moved {
    gone: Vec<u64>,
    due_ms: Option<u64>,
}

impl Moved {
    fn due_at(&mut self, due_ms: u64) {
        self.due_ms = Some(self.due_ms.map_or(due_ms, |other| other.min(due_ms)));
    }
}

/// Collects frames into one batch.
#[derive(Default)]
struct Gathered {
    batch: Batch,
    dirty: BTreeSet<u16>,
    moved: BTreeMap<u16, Moved>,
    stamp: Option<Stamp>,
}

impl Gathered {
    fn read(&mut self, state: &mut State, entry: &Entry, uuid: u64, kept: KeysKept) {
        state.apply(entry);
        self.batch.read(entry, kept);
        self.dirty.extend(entry.effects.targets());
        if let Effects::Settlements(record) = &entry.effects {
            for target in &record.targets {
                let moved = self.moved.entry(target.target).or_default();
                for settled in &target.others {
                    if settled.row_due_ms.is_some() {
                        moved.gone.push(settled.number);
                    }
                    if let Some(due) = settled.what.due_ms() {
                        moved.due_at(due);
                    }
                }
            }
        }
        if let Effects::Act(record) = &entry.effects
            && let ActKind::DeadLetters(change) = &record.what
            && !change.replayed.is_empty()
        {
            self.moved.entry(record.target).or_default().due_at(record.at_ms);
        }
        self.stamp = Some(Stamp {
            layout: LAYOUT,
            uuid,
            lsn: entry.lsn,
            end: entry.end,
            epoch: entry.epoch,
            payload_crc: entry.payload_crc,
        });
    }

    fn finish(&mut self, state: &State, kept: KeysKept) -> Option<(Batch, Stamp)> {
        let stamp = self.stamp.take()?;
        let mut batch = std::mem::take(&mut self.batch);
        batch.stamp(state, self.dirty.iter().copied(), stamp);
        batch.hours_from = kept.hours_from();
        self.dirty.clear();
        Some((batch, stamp))
    }
}

/// Reads frames for recovery and for a rebuild.
pub(crate) struct Replay<'a> {
    pub index: &'a dyn Index,
    pub uuid: u64,
    kept: KeysKept,
    gathered: Gathered,
    /// Targets in memory already know the changes before this place.
    moved_from: u64,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(index: &'a dyn Index, uuid: u64, kept: KeysKept, moved_from: u64) -> Self {
        Self { index, uuid, kept, gathered: Gathered::default(), moved_from }
    }

    /// The changes of rows that the targets in memory do not know yet.
    pub(crate) fn into_moved(self) -> BTreeMap<u16, Moved> {
        self.gathered.moved
    }

    pub(crate) fn read(&mut self, state: &mut State, entry: &Entry) -> Result<(), IndexError> {
        self.gathered.read(state, entry, self.uuid, self.kept);
        if entry.lsn < self.moved_from {
            self.gathered.moved.clear();
        }
        if self.gathered.batch.len() >= ROWS_MAX {
            self.commit(state)?;
        }
        Ok(())
    }

    pub(crate) fn commit(&mut self, state: &State) -> Result<(), IndexError> {
        match self.gathered.finish(state, self.kept) {
            Some((batch, _)) => self.index.commit(batch),
            None => Ok(()),
        }
    }
}

/// Keeps the index of an open store.
pub(crate) struct Indexer {
    shared: Arc<Shared>,
    machine: Machine,
    state: State,
    /// Up to where a rebuilt index has read the log by itself.
    read_to: u64,
    /// Time before the next rebuild.
    rest: Rest,
}

impl Indexer {
    pub(crate) fn new(shared: Arc<Shared>, machine: Machine, state: State) -> Self {
        Self { shared, machine, state, read_to: 0, rest: Rest::default() }
    }

    pub(crate) fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            if self.shared.rebuild.is_on() && !self.rebuild(jobs) {
                return;
            }
            let Ok(first) = jobs.recv() else { return self.end() };
            // An error closes the index, which is then rebuilt.
            let _ = self.batch(first, || jobs.try_recv().ok());
            std::thread::sleep(PAUSE);
        }
    }

    /// One attempt to rebuild the index, for a test that takes steps one by one.
    #[cfg(test)]
    pub(crate) fn rebuild_once(&mut self, jobs: &Receiver<Job>) -> Result<(), IndexError> {
        (self.state, self.read_to) = reindex::rebuild_once(&self.shared, &self.machine, jobs)?;
        Ok(())
    }

    /// Rebuilds the index; `false`: the store was closed first.
    fn rebuild(&mut self, jobs: &Receiver<Job>) -> bool {
        let rebuilt = reindex::rebuild(&self.shared, &self.machine, jobs, &mut self.rest);
        rebuilt.map(|rebuilt| (self.state, self.read_to) = rebuilt).is_some()
    }

    /// Handles a job, and more jobs as far as they fit into one batch. After an error the index is closed.
    pub(crate) fn batch(
        &mut self,
        first: Job,
        mut more: impl FnMut() -> Option<Job>,
    ) -> Result<(), IndexError> {
        let uuid = self.shared.identity.uuid;
        let (mut gathered, mut replies) = (Gathered::default(), Vec::new());
        let kept = self.shared.keys_kept();
        let (mut next, mut sync, mut whole) = (Some(first), false, false);
        while let Some(job) = next {
            match job {
                Job::Entries(entries) => {
                    for entry in entries.iter().filter(|entry| entry.lsn >= self.read_to) {
                        whole |= entry.effects.gives_up_lost_rows();
                        gathered.read(&mut self.state, entry, uuid, kept);
                    }
                }
                Job::Mark(reply) => replies.push(reply),
                Job::Sync => sync = true,
                Job::Failed => {}
            }
            let room = gathered.batch.len() < ROWS_MAX;
            next = room.then(&mut more).flatten();
        }
        let mut done = commit(&self.shared, &mut gathered, &self.state, kept, sync);
        if whole && done.is_ok() {
            // Further records may follow: then it is not whole yet.
            let Self { shared, state, .. } = self;
            let finish = |index: &dyn Index| lost_rows::finish(index, state).map(drop);
            done = shared.try_index(finish).unwrap_or(Ok(()));
        }
        // After a failure everything is still in the log, and readers of the index get an error.
        for reply in replies {
            let _ = reply.send(Ok(()));
        }
        done
    }

    /// Syncs the index after the last job.
    pub(crate) fn end(&self) {
        if let Some(Err(error)) = self.shared.try_index(|index| index.sync()) {
            tracing::warn!(%error, "the index was not synced; the next start reads more of the log");
        }
    }
}

fn commit(
    shared: &Shared,
    gathered: &mut Gathered,
    state: &State,
    kept: KeysKept,
    sync: bool,
) -> Result<(), IndexError> {
    let finished = gathered.finish(state, kept);
    let committed = shared.try_index(|index| {
        let stamp = match finished {
            Some((batch, stamp)) => index.commit(batch).map(|()| Some(stamp))?,
            None => None,
        };
        if sync {
            index.sync()?;
        }
        Ok(stamp)
    });
    let Some(committed) = committed else {
        if !shared.rebuild.is_on() {
            shared.rebuild.begin("it is missing");
        }
        return Err(IndexError::Closing);
    };
    if let Some(stamp) = committed? {
        shared.indexed.store(stamp.end, Ordering::Release);
        tell(shared, std::mem::take(&mut gathered.moved));
    }
    Ok(())
}

/// Applies the changes of rows to the targets in memory.
pub(crate) fn tell(shared: &Shared, moved: BTreeMap<u16, Moved>) {
    for (target, moved) in moved {
        let Some(target) = shared.target(target) else { continue };
        lock(&target.live).applied(&moved.gone, moved.due_ms);
        target.woken.notify_waiters();
    }
}
