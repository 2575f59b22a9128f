//! An index in memory with the crashes of a real one: a batch is atomic, and a power cut takes the
//! newest batches that were not synced.
//!
//! Each commit checks that the log is durable as far as the index has read it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use dispatcher_model::RepetitionKey;
use serde::de::DeserializeOwned;

use crate::embedded::format::record::TargetRow;
use crate::embedded::format::segment_header::{base_of, file_name};
use crate::embedded::index::rows::{
    Batch, DeadRow, Index, IndexError, IndexHome, OutcomeRow, RetryVisit, Row, Seen, Space, Stamp,
    dead_key, hour_of, outcome_key, retry_key, split_retry_key, split_window_key, window_prefix,
};
use crate::embedded::platform::locks::lock;

use super::disk::SimDisk;

pub(crate) type Rows = BTreeMap<(Space, Vec<u8>), Vec<u8>>;

#[derive(Default)]
struct Content {
    rows: Rows,
    on_medium: Rows,
    since: Vec<Batch>,
    /// How the index got ahead of the log.
    ahead: Option<String>,
}

/// What is left of the index while no store is open.
#[derive(Clone, Default)]
pub(crate) struct MemoryHome {
    content: Arc<Mutex<Content>>,
    /// The disk that the log is on, and its folder.
    log: Option<(SimDisk, PathBuf)>,
}

pub(crate) struct MemoryIndex(MemoryHome);

fn write(rows: &mut Rows, batch: &Batch) {
    for (hour, key, seen) in &batch.seen {
        rows.insert((Space::Seen(*hour), key.to_vec()), seen.to_bytes().to_vec());
    }
    for (key, value) in &batch.rows {
        match value {
            Some(value) => drop(rows.insert(key.clone(), value.clone())),
            None => drop(rows.remove(key)),
        }
    }
    rows.retain(|(space, _), _| !matches!(space, Space::Seen(hour) if *hour < batch.hours_from));
}

impl MemoryHome {
    pub(crate) fn beside(disk: &SimDisk, log: PathBuf) -> Self {
        Self { content: Arc::default(), log: Some((disk.clone(), log)) }
    }

    /// A power cut keeps the first few of the batches that were not synced.
    pub(crate) fn cut_power(&self, random: &mut fastrand::Rng) {
        let content = &mut *lock(&self.content);
        let count = random.usize(..=content.since.len());
        for batch in content.since.drain(..).take(count) {
            write(&mut content.on_medium, &batch);
        }
        content.rows.clone_from(&content.on_medium);
    }

    pub(crate) fn clear(&self) {
        let mut content = lock(&self.content);
        *content = Content { ahead: content.ahead.take(), ..Content::default() };
    }

    pub(crate) fn ran_ahead(&self) -> Option<String> {
        lock(&self.content).ahead.clone()
    }

    /// Records when the index has read a frame that a power cut could still lose.
    fn undurable(&self, stamp: &Stamp) -> Option<String> {
        let (disk, folder) = self.log.as_ref()?;
        let bases = disk.names(folder).iter().filter_map(|name| base_of(name)).collect::<Vec<_>>();
        let base = bases.into_iter().filter(|base| *base <= stamp.lsn).max()?;
        let len = usize::try_from(stamp.end - base).unwrap();
        let durable = disk.is_durable(&folder.join(file_name(base)), len);
        (!durable).then(|| format!("the index has read up to {}, which is not durable", stamp.end))
    }
}

impl IndexHome for MemoryHome {
    fn open(&self) -> Result<Box<dyn Index>, IndexError> {
        Ok(Box::new(MemoryIndex(self.clone())))
    }

    fn remove(&self) -> std::io::Result<()> {
        self.clear();
        Ok(())
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> T {
    postcard::from_bytes(bytes).unwrap()
}

impl MemoryIndex {
    fn get<T: DeserializeOwned>(&self, space: Space, key: Vec<u8>) -> Option<T> {
        lock(&self.0.content).rows.get(&(space, key)).map(|bytes| read(bytes))
    }

    /// Rows of a space from one key up to and including another.
    fn range(&self, space: Space, from: Vec<u8>, to: Vec<u8>) -> Vec<(Vec<u8>, Vec<u8>)> {
        let content = lock(&self.0.content);
        let rows = content.rows.range((space, from)..=(space, to));
        rows.map(|((_, key), value)| (key.clone(), value.clone())).collect()
    }
}

fn number_of(key: &[u8]) -> u64 {
    u64::from_be_bytes(key[2..].try_into().unwrap())
}

impl Index for MemoryIndex {
    fn stamp(&self) -> Result<Option<Stamp>, IndexError> {
        Ok(self.get(Space::Meta, b"stamp".to_vec()))
    }

    fn targets(&self) -> Result<Vec<TargetRow>, IndexError> {
        let rows = self.range(Space::Target, vec![0; 2], vec![255; 2]);
        Ok(rows.iter().map(|(_, value)| read(value)).collect())
    }

    fn commit(&self, batch: Batch) -> Result<(), IndexError> {
        let stamp = batch.rows.get(&(Space::Meta, b"stamp".to_vec())).cloned().flatten();
        let ahead = stamp.and_then(|stamp| self.0.undurable(&read(&stamp)));
        let content = &mut *lock(&self.0.content);
        content.ahead = content.ahead.take().or(ahead);
        write(&mut content.rows, &batch);
        content.since.push(batch);
        Ok(())
    }

    fn retries(
        &self,
        target: u16,
        from_ms: u64,
        visit: &mut RetryVisit<'_>,
    ) -> Result<(), IndexError> {
        let to = retry_key(target, u64::MAX, u64::MAX);
        for (key, value) in self.range(Space::Retry, retry_key(target, from_ms, 0), to) {
            let (due, number) = split_retry_key(&key).unwrap();
            if let ControlFlow::Break(()) = visit(due, number, read(&value)) {
                break;
            }
        }
        Ok(())
    }

    fn dead(
        &self,
        target: u16,
        after: Option<u64>,
        max: usize,
    ) -> Result<Vec<(u64, DeadRow)>, IndexError> {
        let from = dead_key(target, after.map_or(0, |after| after.saturating_add(1)));
        let rows = self.range(Space::Dead, from, dead_key(target, u64::MAX));
        Ok(rows.iter().take(max).map(|(key, value)| (number_of(key), read(value))).collect())
    }

    fn dead_at(
        &self,
        target: u16,
        first: u64,
        dropped: bool,
    ) -> Result<Option<DeadRow>, IndexError> {
        let space = if dropped { Space::Dropped } else { Space::Dead };
        Ok(self.get(space, dead_key(target, first)))
    }

    fn dead_within(
        &self,
        target: u16,
        number: u64,
        dropped: bool,
    ) -> Result<Option<(u64, DeadRow)>, IndexError> {
        let rows = self.range(Space::Range, dead_key(target, 0), dead_key(target, number));
        for (key, _) in rows.into_iter().rev() {
            let first = number_of(&key);
            let row = self.dead_at(target, first, dropped)?;
            if let Some(row) = row.filter(|row| row.died(first, number)) {
                return Ok(Some((first, row)));
            }
        }
        Ok(None)
    }

    fn outcome(&self, target: u16, number: u64) -> Result<Option<OutcomeRow>, IndexError> {
        Ok(self.get(Space::Outcome, outcome_key(target, number)))
    }

    fn seen(&self, key: &RepetitionKey, from_ms: u64) -> Result<Option<Seen>, IndexError> {
        let oldest = hour_of(from_ms);
        let content = lock(&self.0.content);
        let all = content.rows.range((Space::Seen(oldest), Vec::new())..);
        let found = all.rev().find(|((_, other), _)| other == key);
        Ok(found.and_then(|(_, value)| Seen::from_bytes(value)))
    }

    fn windows(&self, target: u16, now_ms: u64) -> Result<Vec<(u64, u64)>, IndexError> {
        let content = lock(&self.0.content);
        let all = content.rows.range((Space::Seen(hour_of(now_ms)), Vec::new())..);
        let mut windows: Vec<(u64, u64)> = all
            .filter(|((_, key), _)| key.starts_with(&window_prefix(target)))
            .filter_map(|((_, key), value)| {
                let until = value.as_slice().try_into().ok()?;
                Some((split_window_key(key)?, u64::from_le_bytes(until)))
            })
            .collect();
        windows.sort_by_key(|(_, until)| *until);
        Ok(windows)
    }

    fn scan(&self, space: Space, from: &[u8], max: usize) -> Result<Vec<Row>, IndexError> {
        let content = lock(&self.0.content);
        let rows = content.rows.range((space, from.to_vec())..);
        let rows = rows.take_while(|((other, _), _)| *other == space).take(max);
        Ok(rows.map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }

    fn sync(&self) -> Result<(), IndexError> {
        let content = &mut *lock(&self.0.content);
        for batch in content.since.drain(..) {
            write(&mut content.on_medium, &batch);
        }
        Ok(())
    }

    fn dump(&self) -> Rows {
        lock(&self.0.content).rows.clone()
    }
}
