//! An index in memory with the crashes of a real one: a batch is atomic, and a power cut takes the
//! newest batches that were not synced.
//!
//! Each commit checks that the log is durable as far as the index has read it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use dispatcher_model::RepetitionKey;

use crate::embedded::format::segment_header::{ENDING_AT, ENDING_LEN, base_of, file_name};
use crate::embedded::index::rows::{
    Batch, Index, IndexError, IndexHome, Order, Row, RowVisit, Seen, Space, Stamp, WindowRow,
    hour_of, split_window_key, window_prefix,
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

    /// Another one with the same rows.
    pub(crate) fn copy(&self) -> Self {
        let content = lock(&self.content);
        let (rows, on_medium) = (content.rows.clone(), content.on_medium.clone());
        let content = Content { rows, on_medium, ..Content::default() };
        Self { content: Arc::new(Mutex::new(content)), log: None }
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
        // That a segment has ended need not be durable.
        let mark = ENDING_AT..ENDING_AT + ENDING_LEN;
        let durable = disk.is_durable_but(&folder.join(file_name(base)), len, mark);
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

impl Index for MemoryIndex {
    fn commit(&self, batch: Batch) -> Result<(), IndexError> {
        let stamp = batch.rows.get(&(Space::Meta, b"stamp".to_vec())).cloned().flatten();
        let ahead =
            stamp.and_then(|stamp| self.0.undurable(&postcard::from_bytes(&stamp).unwrap()));
        let content = &mut *lock(&self.0.content);
        content.ahead = content.ahead.take().or(ahead);
        write(&mut content.rows, &batch);
        content.since.push(batch);
        Ok(())
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        Ok(lock(&self.0.content).rows.get(&(space, key.to_vec())).cloned())
    }

    fn range(
        &self,
        space: Space,
        keys: RangeInclusive<Vec<u8>>,
        order: Order,
        visit: &mut RowVisit<'_>,
    ) -> Result<(), IndexError> {
        let (from, to) = keys.into_inner();
        // The visitor may ask the index, so the lock is released first.
        let rows: Vec<Row> = {
            let content = lock(&self.0.content);
            let rows = content.rows.range((space, from)..=(space, to));
            rows.map(|((_, key), value)| (key.clone(), value.clone())).collect()
        };
        let mut rows = rows.into_iter();
        let next = || if order == Order::Ascending { rows.next() } else { rows.next_back() };
        for (key, value) in std::iter::from_fn(next) {
            if visit(&key, &value)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn seen(
        &self,
        key: &RepetitionKey,
        from_ms: u64,
        fits: &dyn Fn(Seen) -> bool,
    ) -> Result<Option<Seen>, IndexError> {
        let oldest = hour_of(from_ms);
        let content = lock(&self.0.content);
        let all = content.rows.range((Space::Seen(oldest), Vec::new())..);
        let of_key = all.rev().filter(|((_, other), _)| other == key);
        let mut seen = of_key.filter_map(|(_, value)| Seen::from_bytes(value));
        Ok(seen.find(|seen| fits(*seen)))
    }

    fn windows(&self, target: u16, now_ms: u64) -> Result<Vec<(u64, WindowRow)>, IndexError> {
        let content = lock(&self.0.content);
        let all = content.rows.range((Space::Seen(hour_of(now_ms)), Vec::new())..);
        let mut windows: Vec<(u64, WindowRow)> = all
            .filter(|((_, key), _)| key.starts_with(&window_prefix(target)))
            .filter_map(|((_, key), value)| {
                Some((split_window_key(key)?, WindowRow::from_bytes(value)?))
            })
            .collect();
        windows.sort_by_key(|(_, row)| *row);
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
