//! What the store asks an index about targets and their deliveries; the same for every engine.

use std::ops::ControlFlow;

use serde::de::DeserializeOwned;

use super::rows::{
    Batch, DeadRow, Index, IndexError, Order, OutcomeRow, RetryRow, Space, Stamp, UNFINISHED,
    dead_key, outcome_key, retry_key, split_retry_key, word,
};
use crate::embedded::format::record::TargetRow;

/// Gets the due time, the number and the row of a delivery.
pub(crate) type RetryVisit<'a> = dyn FnMut(u64, u64, RetryRow) -> ControlFlow<()> + 'a;

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, IndexError> {
    postcard::from_bytes(bytes).map_err(|_| IndexError::Unreadable)
}

/// The number in a key of dead letters.
fn number_of(key: &[u8]) -> Result<u64, IndexError> {
    word(key, 2).ok_or(IndexError::Unreadable)
}

pub(crate) trait Queries: Index {
    fn row<T: DeserializeOwned>(&self, space: Space, key: &[u8]) -> Result<Option<T>, IndexError> {
        self.get(space, key)?.map(|bytes| read(&bytes)).transpose()
    }

    fn stamp(&self) -> Result<Option<Stamp>, IndexError> {
        self.row(Space::Meta, b"stamp")
    }

    /// Whether its making was interrupted.
    fn is_unfinished(&self) -> Result<bool, IndexError> {
        Ok(self.get(Space::Meta, UNFINISHED)?.is_some())
    }

    /// It has all rows up to the place that it has read.
    fn finish(&self) -> Result<(), IndexError> {
        if self.is_unfinished()? { self.commit(Batch::mark(false)) } else { Ok(()) }
    }

    fn targets(&self) -> Result<Vec<TargetRow>, IndexError> {
        let mut targets = Vec::new();
        self.range(Space::Target, vec![0; 2]..=vec![255; 2], Order::Ascending, &mut |_, row| {
            targets.push(read(row)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(targets)
    }

    /// Rows of a target by the time they are due, from `from_ms` on.
    fn retries(
        &self,
        target: u16,
        from_ms: u64,
        visit: &mut RetryVisit<'_>,
    ) -> Result<(), IndexError> {
        let keys = retry_key(target, from_ms, 0)..=retry_key(target, u64::MAX, u64::MAX);
        self.range(Space::Retry, keys, Order::Ascending, &mut |key, row| {
            let (due_ms, number) = split_retry_key(key).ok_or(IndexError::Unreadable)?;
            Ok(visit(due_ms, number, read(row)?))
        })
    }

    /// Dead letters of a target behind that number, by the number of their first event.
    fn dead(
        &self,
        target: u16,
        after: Option<u64>,
        max: usize,
    ) -> Result<Vec<(u64, DeadRow)>, IndexError> {
        let from = after.map_or(0, |after| after.saturating_add(1));
        let keys = dead_key(target, from)..=dead_key(target, u64::MAX);
        let mut found = Vec::new();
        if max == 0 {
            return Ok(found);
        }
        self.range(Space::Dead, keys, Order::Ascending, &mut |key, row| {
            found.push((number_of(key)?, read(row)?));
            let enough = found.len() >= max;
            Ok(if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(found)
    }

    /// The row of dead letters that begins with that number; of dropped ones if asked for.
    fn dead_at(
        &self,
        target: u16,
        first: u64,
        dropped: bool,
    ) -> Result<Option<DeadRow>, IndexError> {
        let space = if dropped { Space::Dropped } else { Space::Dead };
        self.row(space, &dead_key(target, first))
    }

    /// The range, dropped or not, in which that number died: its first number and its row.
    fn dead_within(
        &self,
        target: u16,
        number: u64,
        dropped: bool,
    ) -> Result<Option<(u64, DeadRow)>, IndexError> {
        let keys = dead_key(target, 0)..=dead_key(target, number);
        let mut found = None;
        self.range(Space::Range, keys, Order::Descending, &mut |key, _| {
            let first = number_of(key)?;
            let row = self.dead_at(target, first, dropped)?;
            found = row.filter(|row| row.died(first, number)).map(|row| (first, row));
            Ok(if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(found)
    }

    fn outcome(&self, target: u16, number: u64) -> Result<Option<OutcomeRow>, IndexError> {
        self.row(Space::Outcome, &outcome_key(target, number))
    }
}

impl<I: Index + ?Sized> Queries for I {}
