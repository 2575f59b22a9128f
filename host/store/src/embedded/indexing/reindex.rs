//! Rebuilds an index that is missing or failed, from the log, and tries until it succeeds.
//!
//! Meanwhile requests are accepted, new deliveries are made, outcomes are logged, and retries wait; see
//! `core::rebuild`. New entries are read from the log until the index has nearly all of it, and are sent
//! to it directly from then on. A failed attempt is not lost: the next one, even of another process,
//! continues where it ended.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use super::indexer::{Job, Moved, Replay, tell};
use super::lookup::{Found, Lookup, replace};
use super::lost_rows;
use crate::embedded::core::inbox::LostRows;
use crate::embedded::core::index_slot::Failed;
use crate::embedded::core::machine::Machine;
use crate::embedded::core::shared::Shared;
use crate::embedded::format::entry::Entry;
use crate::embedded::format::segment_header::SegmentHeader;
use crate::embedded::index::rows::{Index, IndexError};
use crate::embedded::index::sweep::sweep;
use crate::embedded::log::scanner::{CHUNK_BYTES, Scanner, Step};
use crate::embedded::log::segments::Segment;
use crate::embedded::platform::locks::{lock, read_lock};
use crate::embedded::platform::repeated::Repeated;
use crate::embedded::space::guard::Why;
use crate::embedded::state::apply::State;

/// Time before the first try, twice as long before each further one, and at most that long.
const RETRY_MS_MIN: u64 = 500;

const RETRY_MS_MAX: u64 = 30_000;

/// How often new entries are read from the log while writing continues, or until no more than
/// [`FOLLOWED_BYTES_MAX`] are left. After that the log waits if needed: the rebuild might never catch up
/// with a busy one.
const CHASES_MAX: usize = 8;

const FOLLOWED_BYTES_MAX: u64 = 4 << 20;

/// Discards jobs for the failed index, so that the committer does not wait for it.
struct Drain<'a> {
    jobs: &'a Receiver<Job>,
    /// The store is closing: no more jobs will come.
    over: bool,
    /// Jobs stay in the queue, for the new index.
    leaves: bool,
}

impl Drain<'_> {
    fn take(job: Job) {
        match job {
            // It is durable; the index does not answer until it is rebuilt.
            Job::Mark(reply) => drop(reply.send(Ok(()))),
            Job::Entries(_) | Job::Sync | Job::Failed => {}
        }
    }

    /// Discards jobs for that long, or until the store closes.
    fn wait(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while !self.over {
            match self.jobs.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(job) => Self::take(job),
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => self.over = true,
            }
        }
    }

    /// Discards the jobs that wait, so that the log need not wait.
    fn now(&mut self) -> Result<(), IndexError> {
        while !self.leaves {
            match self.jobs.try_recv() {
                Ok(job) => Self::take(job),
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => {
                    self.over = true;
                    return Err(IndexError::Closing);
                }
            }
        }
        Ok(())
    }
}

/// A new index and its state.
struct Made {
    index: Box<dyn Index>,
    state: State,
    /// It has read the log up to here.
    to: u64,
    moved: BTreeMap<u16, Moved>,
    lost: Vec<LostRows>,
}

/// The rest before a rebuild, because one index after the other may fail.
pub(crate) struct Rest {
    ms: u64,
    /// Tries that failed since an index worked for some time.
    failed: Repeated,
    /// When the last rebuild was done.
    since: Instant,
}

impl Default for Rest {
    fn default() -> Self {
        Self { ms: RETRY_MS_MIN, failed: Repeated::default(), since: Instant::now() }
    }
}

impl Rest {
    /// Twice as long each time, unless the last index worked for some time.
    fn next(&mut self) -> Duration {
        if self.since.elapsed() > Duration::from_millis(2 * RETRY_MS_MAX) {
            self.ms = RETRY_MS_MIN;
            self.failed.end();
        }
        let rest = Duration::from_millis(self.ms);
        self.ms = (2 * self.ms).min(RETRY_MS_MAX);
        self.since = Instant::now();
        rest
    }
}

/// Takes the failed index over. Returns why it failed; `None`: it was missing.
fn take_over(shared: &Shared, machine: &Machine) -> Option<IndexError> {
    let Failed { index, error } = shared.index.take_failed()?;
    drop(index);
    put_aside(shared, machine, &error);
    Some(error)
}

/// Takes an index away that must not be opened again. One whose disk is full may be whole.
fn put_aside(shared: &Shared, machine: &Machine, error: &IndexError) {
    if let IndexError::Gone(why) = error {
        shared.note_index_damage(format!("{why}, and the index is made from the log again"));
    }
    if error.is_damage() {
        match replace(&*machine.index, error) {
            Ok(what) => shared.note_index_damage(what),
            Err(error) => shared.rebuild.failed(error.to_string()),
        }
    }
}

/// Replaces a missing or failed index with one that works. Returns its state and how far it has read the
/// log. `None`: the store was closed first.
pub(crate) fn rebuild(
    shared: &Shared,
    machine: &Machine,
    jobs: &Receiver<Job>,
    rest: &mut Rest,
) -> Option<(State, u64)> {
    let mut drain = Drain { jobs, over: false, leaves: false };
    let mut failed = take_over(shared, machine);
    let mut report = true;
    loop {
        if let Some(failed) = failed.as_ref().filter(|failed| failed.is_full() && report) {
            shared.room.disk_refused(&format!("cannot write the index: {failed}"));
        }
        if failed.is_some() || shared.room.is_closed(Why::Gone) {
            drain.wait(rest.next());
        }
        if drain.over {
            return None;
        }
        // What is in place of the data folder is not changed.
        let gone = shared.room.is_closed(Why::Gone);
        if gone || (failed.is_some() && shared.room.is_closed(Why::Disk)) {
            report = false;
            continue;
        }
        match make(shared, machine, &mut drain) {
            Ok(made) => return Some(install(shared, made)),
            Err(_) if drain.over => return None,
            Err(error) => {
                if let Some(failures) = rest.failed.again() {
                    let wait_ms = rest.ms;
                    tracing::warn!(%error, failures, wait_ms, "the index cannot be rebuilt yet");
                }
                put_aside(shared, machine, &error);
                shared.rebuild.failed(error.to_string());
                (failed, report) = (Some(error), true);
            }
        }
    }
}

#[cfg(test)]
pub(crate) fn rebuild_once(
    shared: &Shared,
    machine: &Machine,
    jobs: &Receiver<Job>,
) -> Result<(State, u64), IndexError> {
    let mut drain = Drain { jobs, over: false, leaves: false };
    let _ = take_over(shared, machine);
    Ok(install(shared, make(shared, machine, &mut drain)?))
}

fn install(shared: &Shared, made: Made) -> (State, u64) {
    let Made { index, state, to, moved, lost } = made;
    // Before anything of them can be claimed.
    lost_rows::give_up(shared, lost);
    shared.index.put(index);
    shared.indexed.store(to, Ordering::Release);
    tell(shared, moved);
    for target in read_lock(&shared.targets).iter() {
        // Rows may have become due meanwhile.
        lock(&target.live).low_water_ms = 0;
        target.woken.notify_waiters();
    }
    let unchecked = shared.rebuild.end();
    tracing::info!(
        unchecked,
        "the index is whole again: repeated events are known, and what waits to be \
        tried again goes on; unchecked are events that may be there twice"
    );
    shared.retention.ring();
    (state, to)
}

/// Opens what is left of the index, or an empty one, and reads everything in the log that it lacks.
fn make(shared: &Shared, machine: &Machine, drain: &mut Drain<'_>) -> Result<Made, IndexError> {
    let folder = shared.reader.folder.clone();
    let list = read_lock(&shared.reader.segments).list.clone();
    let list: Vec<_> = list.into_iter().map(|segment| segment.header).collect();
    let first = list.first().map_or(0, SegmentHeader::first);
    let (disk, home) = (&*machine.disk, &*machine.index);
    let lookup = Lookup { disk, home, folder: &folder, list: &list };
    let Found { index, mut state, stamp: from, damaged, other } = lookup.index()?;
    if let Some(why) = other {
        tracing::warn!(why, "the index is rebuilt from the log");
    }
    if let Some(damaged) = damaged {
        shared.note_index_damage(damaged);
    }
    shared.watch_index(home);
    let indexed = shared.indexed.load(Ordering::Acquire);
    shared.rebuild.read();
    drain.leaves = false;
    let kept = shared.keys_kept();
    let mut replay = Replay::new(&*index, shared.identity.uuid, kept, indexed);
    let mut to = from.map_or(first, |stamp| stamp.end);
    for _ in 0..CHASES_MAX {
        to = read_on(shared, &mut replay, &mut state, to, drain)?;
        let tail = read_lock(&shared.reader.segments).tail;
        if tail.saturating_sub(to) <= FOLLOWED_BYTES_MAX {
            break;
        }
    }
    // What was written before this is readable now; later entries are sent to the index.
    shared.rebuild.follow();
    drain.leaves = true;
    to = read_on(shared, &mut replay, &mut state, to, drain)?;
    replay.commit(&state)?;
    let moved = replay.into_moved();
    let targets = u16::try_from(state.targets.len()).unwrap_or(u16::MAX);
    sweep(&*index, targets, shared.reader.start())?;
    let lost = lost_rows::finish(&*index, &mut state)?;
    index.sync()?;
    Ok(Made { index, state, to, moved, lost })
}

/// Reads the durable log from there on; returns where it ends.
fn read_on(
    shared: &Shared,
    replay: &mut Replay<'_>,
    state: &mut State,
    from: u64,
    drain: &mut Drain<'_>,
) -> Result<u64, IndexError> {
    let mut at = from;
    loop {
        let stretch = {
            let segments = read_lock(&shared.reader.segments);
            let Some(stretch) = segments.stretch(at) else { return Ok(at) };
            let ahead = |segment: &Segment| segment.header.base <= stretch.segment.base;
            let read = segments.list.partition_point(ahead);
            shared.rebuild.reads(read, segments.list.len());
            stretch
        };
        let path = shared.reader.path(&stretch);
        let cannot = |act, why: &dyn std::fmt::Display| IndexError::Log {
            act,
            path: path.clone(),
            why: why.to_string(),
        };
        let file = shared.reader.disk.open(&path).map_err(|error| cannot("open", &error))?;
        let mut scanner = Scanner::new(&*file, stretch, CHUNK_BYTES);
        loop {
            match scanner.step().map_err(|error| cannot("read", &error))? {
                Step::Frame(header, payload) => {
                    let entry = Entry::read(&header, payload);
                    let entry = entry.map_err(|_| cannot("read", &"a record is damaged"))?;
                    replay.read(state, &entry)?;
                    drain.now()?;
                }
                Step::Bad(lsn) => {
                    let place = format!("it is damaged at byte {}", lsn - stretch.segment.base);
                    return Err(cannot("read", &place));
                }
                Step::End => break,
            }
        }
        at = stretch.to;
    }
}
