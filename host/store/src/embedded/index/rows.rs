//! The rows of the index, and the trait of its engine. Rows exist for exceptions only: retries, dead
//! letters, receipts, repetition keys.
//!
//! An index can be lost at any time; it is rebuilt from the log. It is never ahead of what is durable in
//! the log: it reads only durable frames, and [`Stamp`], how far it read, is part of each batch.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, RangeInclusive};
use std::path::PathBuf;

use dispatcher_model::RepetitionKey;
use serde::{Deserialize, Serialize};

pub(crate) use super::keys_kept::{HOUR_MS, KeysKept, hour_of};
pub(crate) use super::window_row::WindowRow;
use crate::embedded::format::entry::{Effects, Entry};
use crate::embedded::format::event_number::number;
pub(crate) use crate::embedded::format::record::DeadRow;
use crate::embedded::format::record::{
    Act, ActKind, DeadRange, MovedRow, MovedRows, RecordedOutcome, Settled, from_deltas,
};
use crate::embedded::format::runs::Runs;
use crate::embedded::state::apply::{State, TargetState};

/// Version of the rows. An index with another version is rebuilt.
pub(crate) const LAYOUT: u8 = 4;

/// The key of a mark: rows may be missing before the place that the index has read.
pub(crate) const UNFINISHED: &[u8] = b"unfinished";

/// Why the index does not answer, or cannot be made. It may be deleted at any time.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum IndexError {
    /// The disk of the index is full, or its quota.
    #[error("{0}")]
    Full(String),
    #[error("the engine of the index failed: {0}")]
    Engine(String),
    /// The first line of its panic.
    #[error("the engine of the index gave up on its files: {0}")]
    Panicked(String),
    /// A file of it is not a file: what it is.
    #[error("{0}")]
    Irregular(String),
    #[error("a row of the index cannot be read")]
    Unreadable,
    #[error("cannot remove the index: {0}")]
    Remove(String),
    /// The log, from which an index is made, cannot be read.
    #[error("cannot {act} {path}: {why}")]
    Log { act: &'static str, path: PathBuf, why: String },
    /// Its files are not there any more, or those of another index are.
    #[error("its files were removed, moved or mounted over: {0}")]
    Gone(String),
    #[error("the store is closing")]
    Closing,
}

impl IndexError {
    pub(crate) const fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }

    /// Whether the index itself is at fault, not its disk, the log or the store.
    pub(crate) const fn is_damage(&self) -> bool {
        matches!(self, Self::Engine(_) | Self::Panicked(_) | Self::Irregular(_) | Self::Unreadable)
    }
}

/// The last frame an index has read. It belongs to a log that has this very frame.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub layout: u8,
    pub uuid: u64,
    pub lsn: u64,
    pub end: u64,
    pub epoch: u32,
    pub payload_crc: u32,
}

/// A kind of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Space {
    Meta,
    Target,
    Retry,
    Dead,
    /// Dead letters that were dropped.
    Dropped,
    /// Ranges of dead or dropped letters, with the frame that last wrote them. Other rows may begin within
    /// a range.
    Range,
    /// The frame of an event that was moved.
    Place,
    Outcome,
    /// Keys of events received in that hour since 1970, written apart, see [`Batch::seen`]; and windows
    /// that end in it. Dropped whole when the hour is too old.
    Seen(u32),
}

/// A delivery that waits to be tried again.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct RetryRow {
    pub attempts: u32,
    pub first_attempt_ms: u64,
    pub reason: String,
    #[serde(with = "serde_bytes")]
    pub progress: Vec<u8>,
}

/// A delivery that had a row before, or has a receipt.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct OutcomeRow {
    pub attempts: u32,
    pub at_ms: u64,
    pub receipt: Option<String>,
    pub fields: Vec<(String, String)>,
}

/// An event that had that key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub number: u64,
    pub received_ms: u64,
}

impl Seen {
    pub(crate) fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.number.to_le_bytes());
        bytes[8..].copy_from_slice(&self.received_ms.to_le_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (words, []) = bytes.as_chunks::<8>() else { return None };
        let &[number, received] = words else { return None };
        Some(Self { number: u64::from_le_bytes(number), received_ms: u64::from_le_bytes(received) })
    }
}

/// Rows put or removed together. The last change of a key counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    pub rows: BTreeMap<(Space, Vec<u8>), Option<Vec<u8>>>,
    /// Keys with the hour that they belong to, in the order of the log. They are nearly all that is
    /// ever written, and a list of them costs less than a map.
    pub seen: Vec<(u32, RepetitionKey, Seen)>,
    /// Hours before this one may be removed.
    pub hours_from: u32,
}

pub(crate) trait Index: Send + Sync {
    /// All or nothing, also across a crash.
    fn commit(&self, batch: Batch) -> Result<(), IndexError>;
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError>;
    /// Visits the rows of these keys, in their order.
    fn range(
        &self,
        space: Space,
        keys: RangeInclusive<Vec<u8>>,
        order: Order,
        visit: &mut RowVisit<'_>,
    ) -> Result<(), IndexError>;
    /// The newest event of that key that fits; of those before the hour of `from_ms`, none.
    fn seen(
        &self,
        key: &RepetitionKey,
        from_ms: u64,
        fits: &dyn Fn(Seen) -> bool,
    ) -> Result<Option<Seen>, IndexError>;
    /// Windows of a target that end in the hour of `now_ms` or later: group and row, the latest last.
    fn windows(&self, target: u16, now_ms: u64) -> Result<Vec<(u64, WindowRow)>, IndexError>;
    /// Rows of a space from that key on, at most `max`: keys and values.
    fn scan(&self, space: Space, from: &[u8], max: usize) -> Result<Vec<Row>, IndexError>;
    /// Syncs what was committed.
    fn sync(&self) -> Result<(), IndexError>;
    /// Every row, for tests.
    #[cfg(test)]
    fn dump(&self) -> BTreeMap<(Space, Vec<u8>), Vec<u8>>;
}

/// Opens and removes the index of a store.
pub(crate) trait IndexHome: Send + Sync {
    /// Opens the index, or makes an empty one.
    fn open(&self) -> Result<Box<dyn Index>, IndexError>;
    fn remove(&self) -> std::io::Result<()>;
    /// A file that is there as long as the index is. `None`: it has none.
    fn watched(&self) -> Option<PathBuf> {
        None
    }
    /// Takes a failed index away and keeps it as evidence; returns where, if there was one.
    fn set_aside(&self) -> std::io::Result<Option<PathBuf>> {
        self.remove().map(|()| None)
    }
    /// Removes the evidence: a new index needs its space.
    fn clear_evidence(&self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Key and value.
pub(crate) type Row = (Vec<u8>, Vec<u8>);

/// Gets a key and a value.
pub(crate) type RowVisit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, IndexError> + 'a;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Ascending,
    Descending,
}

pub(crate) fn retry_key(target: u16, due_ms: u64, number: u64) -> Vec<u8> {
    [&target.to_be_bytes()[..], &due_ms.to_be_bytes(), &number.to_be_bytes()].concat()
}

/// Due and number of a retry row's key.
pub(crate) fn split_retry_key(key: &[u8]) -> Option<(u64, u64)> {
    let (due, number) = key.get(2..)?.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*due), u64::from_be_bytes(number.try_into().ok()?)))
}

const WINDOW_MARK: u8 = b'w';

/// Shorter than any other key of its space.
pub(crate) fn window_key(target: u16, group: u64) -> Vec<u8> {
    [&window_prefix(target)[..], &group.to_be_bytes()].concat()
}

pub(crate) fn window_prefix(target: u16) -> [u8; 3] {
    let [high, low] = target.to_be_bytes();
    [WINDOW_MARK, high, low]
}

/// The group of a window's key; `None` for another key of the same beginning.
pub(crate) fn split_window_key(key: &[u8]) -> Option<u64> {
    key.get(3..)?.try_into().ok().map(u64::from_be_bytes)
}

pub(crate) fn dead_key(target: u16, number: u64) -> Vec<u8> {
    [&target.to_be_bytes()[..], &number.to_be_bytes()].concat()
}

pub(crate) fn place_key(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

/// A number at that place of a key, or a frame's place in a value.
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u64> {
    let word = bytes.get(at..at.checked_add(8)?)?;
    word.try_into().ok().map(u64::from_be_bytes)
}

pub(crate) fn outcome_key(target: u16, number: u64) -> Vec<u8> {
    [&number.to_be_bytes()[..], &target.to_be_bytes()].concat()
}

/// The row of deliveries that died together.
fn dead_range(range: &DeadRange) -> DeadRow {
    let mut spared = Runs::from_deltas(range.from, &range.settled);
    for kept in &range.kept {
        spared.insert(*kept, kept + 1);
    }
    DeadRow {
        received_ms: range.first_received_ms,
        count: range.count,
        attempts: 0,
        at_ms: range.at_ms,
        reason: range.reason.clone(),
        to: range.to,
        spared: spared.to_deltas(range.first),
    }
}

fn value<T: Serialize>(row: &T) -> Option<Vec<u8>> {
    // Rows are plain data in memory: there is nothing in them that postcard cannot write.
    Some(postcard::to_allocvec(row).unwrap_or_default())
}

impl Batch {
    /// Marks an index as unfinished until it is made, or removes that mark.
    pub(crate) fn mark(unfinished: bool) -> Self {
        let mut batch = Self::default();
        batch.rows.insert((Space::Meta, UNFINISHED.to_vec()), unfinished.then(Vec::new));
        batch
    }

    /// How many rows it has.
    pub(crate) fn len(&self) -> usize {
        self.rows.len() + self.seen.len()
    }

    /// The rows that a frame makes or removes, but for those of targets.
    pub(crate) fn read(&mut self, entry: &Entry, kept: KeysKept) {
        match &entry.effects {
            Effects::Request { received_ms, keys, .. } => {
                // A rebuild reads requests of long ago: their keys have no row any more.
                if received_ms.saturating_add(kept.window_ms + HOUR_MS) < kept.now_ms {
                    return;
                }
                for &(place, key) in keys {
                    let seen = Seen { number: number(entry.lsn, place), received_ms: *received_ms };
                    self.seen.push((hour_of(*received_ms), key, seen));
                }
            }
            Effects::Settlements(record) => {
                for target in &record.targets {
                    for settled in &target.others {
                        self.settled(target.target, (record.at_ms, entry.epoch), settled, kept);
                    }
                }
            }
            Effects::DeadRange(record) => {
                let key = dead_key(record.target, record.first);
                self.range(entry.lsn, key.clone());
                self.rows.insert((Space::Dead, key), value(&dead_range(record)));
            }
            Effects::Act(record) => self.act(entry.lsn, record),
            Effects::Moved(record) => self.moved(entry.lsn, record),
            Effects::Registry(_) | Effects::Checkpoint(_) | Effects::Lost(_) | Effects::Summary => {
            }
        }
    }

    fn range(&mut self, lsn: u64, key: Vec<u8>) {
        self.rows.insert((Space::Range, key), Some(lsn.to_be_bytes().to_vec()));
    }

    /// Rewrites every row of the event: the earlier records may no longer be in the log.
    fn moved(&mut self, lsn: u64, record: &MovedRows) {
        let number = record.number;
        self.rows.insert((Space::Place, place_key(number)), Some(lsn.to_be_bytes().to_vec()));
        for (target, row) in &record.rows {
            let (space, key, value) = match row.clone() {
                MovedRow::Retry { due_ms, attempts, first_attempt_ms, reason, progress } => {
                    let row = RetryRow { attempts, first_attempt_ms, reason, progress };
                    (Space::Retry, retry_key(*target, due_ms, number), value(&row))
                }
                MovedRow::Dead(row) => (Space::Dead, dead_key(*target, number), value(&row)),
                MovedRow::Dropped(row) => (Space::Dropped, dead_key(*target, number), value(&row)),
                MovedRow::Delivered { attempts, at_ms, receipt, fields } => {
                    let row = OutcomeRow { attempts, at_ms, receipt, fields };
                    (Space::Outcome, outcome_key(*target, number), value(&row))
                }
            };
            self.rows.insert((space, key), value);
        }
    }

    fn act(&mut self, lsn: u64, Act { target, at_ms, what }: &Act) {
        let change = match what {
            ActKind::Hold(_) => return,
            ActKind::DeadLetters(change) => change,
            ActKind::DropRange(range) => {
                let key = dead_key(*target, range.first);
                self.range(lsn, key.clone());
                self.rows.insert((Space::Dropped, key), value(&dead_range(range)));
                return;
            }
        };
        for number in &change.gone {
            self.rows.insert((Space::Dead, dead_key(*target, *number)), None);
            self.rows.insert((Space::Range, dead_key(*target, *number)), None);
        }
        let dropped = change.dropped.iter().map(|row| (Space::Dropped, row));
        let left = change.left.iter().map(|row| (Space::Dead, row));
        for (space, (first, row)) in dropped.chain(left) {
            let key = dead_key(*target, *first);
            if row.to > 0 {
                self.range(lsn, key.clone());
            }
            self.rows.insert((space, key), value(row));
        }
        let row = value(&RetryRow {
            attempts: 0,
            first_attempt_ms: *at_ms,
            reason: String::new(),
            progress: Vec::new(),
        });
        for number in from_deltas(&change.replayed) {
            // The earlier delivery no longer counts.
            self.rows.insert((Space::Outcome, outcome_key(*target, number)), None);
            self.rows.insert((Space::Retry, retry_key(*target, *at_ms, number)), row.clone());
        }
    }

    fn settled(
        &mut self,
        target: u16,
        (at_ms, epoch): (u64, u32),
        settled: &Settled,
        kept: KeysKept,
    ) {
        let number = settled.number;
        if let Some(due_ms) = settled.row_due_ms {
            self.rows.insert((Space::Retry, retry_key(target, due_ms, number)), None);
        }
        match &settled.what {
            RecordedOutcome::Delivered { receipt, fields } => {
                let row = settled.row_due_ms.is_some();
                if row || receipt.is_some() || !fields.is_empty() {
                    let row = OutcomeRow {
                        attempts: settled.attempts,
                        at_ms,
                        receipt: receipt.clone(),
                        fields: fields.clone(),
                    };
                    let key = outcome_key(target, number);
                    self.rows.insert((Space::Outcome, key), value(&row));
                }
            }
            RecordedOutcome::Retry { due_ms, reason, progress } => {
                let row = RetryRow {
                    attempts: settled.attempts,
                    first_attempt_ms: settled.first_attempt_ms,
                    reason: reason.clone(),
                    progress: progress.clone(),
                };
                self.rows.insert((Space::Retry, retry_key(target, *due_ms, number)), value(&row));
            }
            RecordedOutcome::Parked { due_ms } => {
                let row = RetryRow {
                    attempts: settled.attempts,
                    first_attempt_ms: settled.first_attempt_ms,
                    reason: String::new(),
                    progress: Vec::new(),
                };
                self.rows.insert((Space::Retry, retry_key(target, *due_ms, number)), value(&row));
            }
            &RecordedOutcome::Window { group, until_ms } => {
                // A rebuild reads of windows that ended long ago.
                if until_ms.saturating_add(kept.window_ms) >= kept.now_ms {
                    let key = (Space::Seen(hour_of(until_ms)), window_key(target, group));
                    self.rows.insert(key, Some(WindowRow { until_ms, epoch }.to_bytes()));
                }
            }
            RecordedOutcome::Dead { reason } => {
                let row = DeadRow {
                    received_ms: settled.received_ms,
                    count: 1,
                    attempts: settled.attempts,
                    at_ms,
                    reason: reason.clone(),
                    to: 0,
                    spared: Vec::new(),
                };
                self.rows.insert((Space::Dead, dead_key(target, number)), value(&row));
            }
            RecordedOutcome::Dropped(row) => {
                self.rows.insert((Space::Dropped, dead_key(target, number)), value(row));
            }
        }
    }

    /// The row of a target as it is now.
    pub(crate) fn target(&mut self, target: u16, state: &TargetState) {
        let key = target.to_be_bytes().to_vec();
        self.rows.insert((Space::Target, key), value(&state.to_row()));
    }

    /// Rows of targets as they are now, and the frame they are as of.
    pub(crate) fn stamp(
        &mut self,
        state: &State,
        targets: impl Iterator<Item = u16>,
        stamp: Stamp,
    ) {
        for target in targets {
            if let Some(state) = state.targets.get(usize::from(target)) {
                self.target(target, state);
            }
        }
        self.rows.insert((Space::Meta, b"stamp".to_vec()), value(&stamp));
    }
}

/// Where a moved event's newest copy is.
pub(crate) fn place(index: &dyn Index, number: u64) -> Result<Option<u64>, IndexError> {
    let key = place_key(number);
    let found = index.scan(Space::Place, &key, 1)?;
    Ok(found.first().filter(|(found, _)| *found == key).and_then(|(_, value)| word(value, 0)))
}
