//! Reads what waits for a target: rows of the index, and deliveries in the log that were never claimed.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use dispatcher_model::{REASON_BYTES_MAX, Timestamp};

use super::unreadable::lost_range;
use crate::StoreError;
use crate::embedded::core::events::{event, log_error};
use crate::embedded::core::shared::{Shared, Target};
use crate::embedded::format::event_number::lsn_of;
use crate::embedded::format::record::{RecordedOutcome, Settled};
use crate::embedded::index::queries::Queries as _;
use crate::embedded::limits::cut;
use crate::embedded::platform::locks::lock;
use crate::embedded::target::expire_range::ExpireRange;

/// Most deliveries in one record.
pub(super) const CHUNK_MAX: usize = 1_000;

/// A delivery that waits: its number, and when its event was received.
pub(super) type Found = (u64, Timestamp);

pub(super) fn dead(reason: &str) -> RecordedOutcome {
    RecordedOutcome::Dead { reason: cut(reason.to_owned(), REASON_BYTES_MAX) }
}

/// A delivery without a row. The caller fills in `what`.
pub(super) fn untried_row((number, received): Found) -> Settled {
    Settled {
        number,
        received_ms: received.as_millis(),
        row_due_ms: None,
        attempts: 0,
        first_attempt_ms: 0,
        what: dead(""),
    }
}

/// Numbers of all deliveries of a target that have a row, ascending.
pub(super) fn rows(shared: &Shared, target: u16) -> Result<Vec<u64>, StoreError> {
    let mut numbers = Vec::new();
    let mut visit = |_, number, _| {
        numbers.push(number);
        ControlFlow::Continue(())
    };
    shared.with_index(|index| index.retries(target, 0, &mut visit))?;
    numbers.sort_unstable();
    Ok(numbers)
}

/// Deliveries that were never claimed, to be ended together.
pub(super) struct Untried {
    pub range: ExpireRange,
    /// Empty if nothing can be read there.
    pub numbers: Vec<u64>,
}

/// The first deliveries that were never claimed, up to what cannot be read: that becomes a dead letter.
pub(super) fn untried(
    shared: &Shared,
    target: &Target,
    reason: &str,
) -> Result<Option<Untried>, StoreError> {
    let (from, done) = {
        let live = lock(&target.live);
        (live.next, live.done.clone())
    };
    let found = shared.reader.planned(target.number, from..u64::MAX, CHUNK_MAX, &done);
    let (mut found, damaged) = found.map_err(|error| log_error(shared, &error))?;
    if let Some(place) = damaged.first() {
        found.retain(|(number, _)| lsn_of(*number) < place.lsn);
        if found.is_empty() {
            let (range, _) = lost_range(shared, target, from, place)?;
            return Ok(Some(Untried { range, numbers: Vec::new() }));
        }
    }
    let (Some(first), Some(last)) = (found.first().copied(), found.last().copied()) else {
        return Ok(None);
    };
    let numbers: Vec<u64> = found.iter().map(|(number, _)| *number).collect();
    let range = ExpireRange {
        from,
        to: last.0 + 1,
        count: numbers.len() as u64,
        first: Some(first),
        at: shared.clock.wall(),
        reason: reason.to_owned(),
        drops: true,
    };
    Ok(Some(Untried { range, numbers }))
}

/// A chunk of rows. The caller fills in `what`.
pub(super) struct Page {
    pub rows: Vec<Settled>,
    /// Their events cannot be read.
    pub unreadable: Vec<Settled>,
    /// The place of the last row read, if there may be more.
    pub next: Option<(u64, u64)>,
}

/// A chunk of the rows after `from`: of events that were received before that time and are not claimed.
pub(super) fn rows_after(
    shared: &Shared,
    target: &Target,
    from: (u64, u64),
    before: Timestamp,
) -> Result<Page, StoreError> {
    let held = lock(&target.live).rows.keys().copied().collect::<BTreeSet<_>>();
    let (mut found, mut next) = (Vec::new(), None);
    let mut visit = |due_ms, number, row| {
        if found.len() >= CHUNK_MAX {
            return ControlFlow::Break(());
        }
        if (due_ms, number) > from && !held.contains(&number) {
            found.push((due_ms, number, row));
            next = Some((due_ms, number));
        }
        ControlFlow::Continue(())
    };
    shared.with_index(|index| index.retries(target.number, from.0, &mut visit))?;
    let full = found.len() >= CHUNK_MAX;
    let (mut rows, mut unreadable) = (Vec::new(), Vec::new());
    for (due_ms, number, row) in found {
        let event = event(shared, number)?;
        let received_ms =
            event.as_ref().map_or(row.first_attempt_ms, |e| e.received_at.as_millis());
        let settled = Settled {
            number,
            received_ms,
            row_due_ms: Some(due_ms),
            attempts: row.attempts,
            first_attempt_ms: row.first_attempt_ms,
            what: dead(""),
        };
        match event {
            Some(event) if event.received_at < before => rows.push(settled),
            Some(_) => {}
            None => unreadable.push(settled),
        }
    }
    Ok(Page { rows, unreadable, next: next.filter(|_| full) })
}
