//! An index with a fault, around one that works.

use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dispatcher_model::RepetitionKey;

use crate::embedded::index::rows::{
    Batch, Index, IndexError, IndexHome, Order, Row, RowVisit, Seen, Space, WindowRow,
};

use super::memory_index::MemoryHome;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IndexFault {
    /// Refuses all writes, because its disk is full or for another reason.
    Fails { full: bool },
    /// Its disk is full after so many writes.
    FillsUp { writes: u32 },
    /// Does not keep rows of deliveries that wait for a retry.
    ForgetsRetries,
    /// Writes a batch in two parts, so that a crash may leave one of them.
    TearsBatches,
}

pub(crate) struct FaultyHome {
    pub home: Arc<dyn IndexHome>,
    pub fault: IndexFault,
}

impl IndexHome for FaultyHome {
    fn open(&self) -> Result<Box<dyn Index>, IndexError> {
        Ok(Box::new(FaultyIndex::new(self.home.open()?, self.fault)))
    }

    fn remove(&self) -> io::Result<()> {
        self.home.remove()
    }
}

pub(crate) struct FaultyIndex {
    index: Box<dyn Index>,
    fault: IndexFault,
    written: AtomicU32,
}

impl FaultyIndex {
    /// An empty one that refuses all writes.
    pub(crate) fn failing(full: bool) -> Self {
        let index = MemoryHome::default().open().unwrap();
        Self::new(index, IndexFault::Fails { full })
    }

    fn new(index: Box<dyn Index>, fault: IndexFault) -> Self {
        Self { index, fault, written: AtomicU32::new(0) }
    }

    fn works(&self) -> Result<(), IndexError> {
        match self.fault {
            IndexFault::Fails { full } => {
                let make = if full { IndexError::Full } else { IndexError::Engine };
                Err(make("it failed".into()))
            }
            IndexFault::ForgetsRetries | IndexFault::TearsBatches | IndexFault::FillsUp { .. } => {
                Ok(())
            }
        }
    }
}

/// The first part has the stamp, so that the log is not read again for the second one.
fn tear(batch: Batch) -> [Batch; 2] {
    let (mut first, mut second) = (batch.clone(), batch);
    let mut place = 0;
    first.rows.retain(|(space, _), _| {
        place += 1;
        place % 2 == 0 || matches!(space, Space::Meta | Space::Target)
    });
    second.rows.retain(|key, _| !first.rows.contains_key(key));
    second.seen = first.seen.split_off(first.seen.len() / 2);
    [first, second]
}

impl Index for FaultyIndex {
    fn commit(&self, mut batch: Batch) -> Result<(), IndexError> {
        self.works()?;
        if let IndexFault::FillsUp { writes } = self.fault {
            if self.written.fetch_add(1, Ordering::SeqCst) >= writes {
                return Err(IndexError::Full("it is full".into()));
            }
            return self.index.commit(batch);
        }
        if self.fault == IndexFault::TearsBatches {
            let [first, second] = tear(batch);
            self.index.commit(first)?;
            return self.index.commit(second);
        }
        batch.rows.retain(|(space, _), row| *space != Space::Retry || row.is_none());
        self.index.commit(batch)
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        self.works()?;
        self.index.get(space, key)
    }

    fn range(
        &self,
        space: Space,
        keys: RangeInclusive<Vec<u8>>,
        order: Order,
        visit: &mut RowVisit<'_>,
    ) -> Result<(), IndexError> {
        // Deliveries in memory can still be claimed, so reading retries must not fail.
        if space != Space::Retry {
            self.works()?;
        }
        self.index.range(space, keys, order, visit)
    }

    fn seen(
        &self,
        key: &RepetitionKey,
        from_ms: u64,
        fits: &dyn Fn(Seen) -> bool,
    ) -> Result<Option<Seen>, IndexError> {
        self.index.seen(key, from_ms, fits)
    }

    fn windows(&self, target: u16, now_ms: u64) -> Result<Vec<(u64, WindowRow)>, IndexError> {
        self.works()?;
        self.index.windows(target, now_ms)
    }

    fn scan(&self, space: Space, from: &[u8], max: usize) -> Result<Vec<Row>, IndexError> {
        self.works()?;
        self.index.scan(space, from, max)
    }

    fn sync(&self) -> Result<(), IndexError> {
        self.works()?;
        self.index.sync()
    }

    fn dump(&self) -> BTreeMap<(Space, Vec<u8>), Vec<u8>> {
        self.index.dump()
    }
}
