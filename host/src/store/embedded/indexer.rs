//! The thread that keeps the index: durable frames in, rows out, many frames to a batch.
//!
//! It lags behind the log by a bounded number of group commits; when that is reached the committer
//! waits for it. An index that fails stops the intake: without it a repeated event would not be
//! known and a retry not be found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use super::inbox::{Reply, closed};
use super::index::{Batch, IndexError, LAYOUT, Stamp, hour_of};
use super::record::ActWhat;
use super::shared::Shared;
use super::state::{Effects, Entry, State};
use super::{StoreError, lock, read_lock};

/// Most group commits that wait for the index: more than a fast disk makes in a [`PAUSE`].
const JOBS_MAX: usize = 256;
/// Rest after a batch. Being woken for each group commit would cost more than the rows.
const PAUSE: Duration = Duration::from_millis(5);
/// A batch takes no further job above this many rows.
const ROWS_MAX: usize = 4_096;
/// Hours of keys that are kept: the window and the hour that has begun.
const HOURS_KEPT: u32 = 25;

pub(super) enum Job {
    Entries(Vec<Entry>),
    /// Answered when everything before is in the index.
    Mark(Reply<()>),
    /// Puts what the index holds onto the medium: a rebuild after a power cut starts later.
    Sync,
}

pub(super) fn channel() -> (SyncSender<Job>, Receiver<Job>) {
    sync_channel(JOBS_MAX)
}

/// Rows of target and their effect on what is claimed.
#[derive(Default)]
struct Moved {
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
    fn read(&mut self, state: &mut State, entry: &Entry, uuid: u64, now_ms: u64) {
        state.apply(entry);
        self.batch.read(entry, now_ms);
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
            && let ActWhat::Mend(mend) = &record.what
            && !mend.again.is_empty()
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

    fn finish(&mut self, state: &State, now_ms: u64) -> Option<(Batch, Stamp)> {
        let stamp = self.stamp.take()?;
        let mut batch = std::mem::take(&mut self.batch);
        batch.stamp(state, self.dirty.iter().copied(), stamp);
        batch.hours_from = hour_of(now_ms).saturating_sub(HOURS_KEPT);
        self.dirty.clear();
        Some((batch, stamp))
    }
}

/// Reads frames for recovery: the same rows, without anybody who claims.
pub(super) struct Replay<'a> {
    pub index: &'a dyn super::index::Index,
    pub uuid: u64,
    now_ms: u64,
    gathered: Gathered,
}

impl<'a> Replay<'a> {
    pub(super) fn new(index: &'a dyn super::index::Index, uuid: u64, now_ms: u64) -> Self {
        Self { index, uuid, now_ms, gathered: Gathered::default() }
    }

    pub(super) fn read(&mut self, state: &mut State, entry: &Entry) -> Result<(), IndexError> {
        self.gathered.read(state, entry, self.uuid, self.now_ms);
        if self.gathered.batch.len() >= ROWS_MAX {
            self.commit(state)?;
        }
        Ok(())
    }

    pub(super) fn commit(&mut self, state: &State) -> Result<(), IndexError> {
        match self.gathered.finish(state, self.now_ms) {
            Some((batch, _)) => self.index.commit(batch),
            None => Ok(()),
        }
    }
}

/// Keeps the index of an open store.
pub(super) struct Indexer {
    shared: Arc<Shared>,
    state: State,
}

impl Indexer {
    pub(super) fn new(shared: Arc<Shared>, state: State) -> Self {
        Self { shared, state }
    }

    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            self.batch(first, || jobs.try_recv().ok());
            std::thread::sleep(PAUSE);
        }
        self.end();
    }

    /// Works off a job, and further ones as far as they fit into one batch.
    pub(super) fn batch(&mut self, first: Job, mut more: impl FnMut() -> Option<Job>) {
        let uuid = self.shared.identity.uuid;
        let (mut gathered, mut replies) = (Gathered::default(), Vec::new());
        let now_ms = self.shared.clock.wall_ms();
        let (mut next, mut sync) = (Some(first), false);
        while let Some(job) = next {
            match job {
                Job::Entries(entries) => {
                    for entry in &entries {
                        gathered.read(&mut self.state, entry, uuid, now_ms);
                    }
                }
                Job::Mark(reply) => replies.push(reply),
                Job::Sync => sync = true,
            }
            let room = gathered.batch.len() < ROWS_MAX;
            next = room.then(&mut more).flatten();
        }
        let done = commit(&self.shared, &mut gathered, &self.state, now_ms, sync);
        for reply in replies {
            let _ = reply.send(done.clone());
        }
    }

    /// There will be no more jobs.
    pub(super) fn end(&self) {
        if let Some(index) = &*read_lock(&self.shared.index)
            && let Err(error) = index.sync()
        {
            tracing::warn!(%error, "the index was not synced; the next start reads more of the log");
        }
    }
}

fn commit(
    shared: &Shared,
    gathered: &mut Gathered,
    state: &State,
    now_ms: u64,
    sync: bool,
) -> Result<(), StoreError> {
    if let Some(reason) = shared.failed() {
        return Err(StoreError(reason));
    }
    let index = read_lock(&shared.index);
    let index = index.as_ref().ok_or_else(closed)?;
    let written = match gathered.finish(state, now_ms) {
        Some((batch, stamp)) => index.commit(batch).map(|()| Some(stamp)),
        None => Ok(None),
    };
    let written =
        written.and_then(|stamp| if sync { index.sync().map(|()| stamp) } else { Ok(stamp) });
    match written {
        Ok(None) => return Ok(()),
        Ok(Some(stamp)) => shared.indexed.store(stamp.end, Ordering::Release),
        Err(error) => {
            let reason =
                shared.fail(&format!("cannot write the index: {error}; restart to rebuild it"));
            return Err(StoreError(reason));
        }
    }
    for (target, moved) in std::mem::take(&mut gathered.moved) {
        let Some(target) = shared.target(target) else { continue };
        lock(&target.live).applied(&moved.gone, moved.due_ms);
        target.woken.notify_waiters();
    }
    Ok(())
}
