//! How dead letters leave the list, and how those whose events were removed stay in it.

use std::collections::BTreeMap;

use dispatcher_model::EventId;

use crate::StoreError;
use crate::embedded::core::shared::Shared;
use crate::embedded::format::event_number::number;
use crate::embedded::format::record::DeadLetterChange;
use crate::embedded::format::runs::Runs;
use crate::embedded::index::queries::Queries as _;
use crate::embedded::index::rows::{DeadRow, Index, IndexError};

/// Dead letters by the number of their first event.
pub(crate) type Rows = Vec<(u64, DeadRow)>;

/// Makes one row of the dead letters of a target, given in ascending order: a range of exactly these.
pub(crate) fn folded(rows: Rows) -> Option<(u64, DeadRow)> {
    let (first, row) = rows.first()?.clone();
    let (mut spared, mut to) = (Runs::default(), first);
    let (mut at_ms, mut attempts) = (0, 0);
    for (number, row) in &rows {
        spared.insert(to, *number);
        to = number + 1;
        at_ms = at_ms.max(row.at_ms);
        attempts = attempts.max(row.attempts);
    }
    let by_reason = rows.iter().fold(BTreeMap::<&str, u64>::new(), |mut counts, (_, row)| {
        *counts.entry(&row.reason).or_default() += 1;
        counts
    });
    let most = by_reason.into_iter().max_by_key(|(_, count)| *count)?.0.to_owned();
    let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    let (received_ms, spared) = (row.received_ms, spared.to_deltas(first));
    Some((first, DeadRow { received_ms, count, attempts, at_ms, reason: most, to, spared }))
}

/// Bytes that a dead letter takes in a record, about.
pub(crate) fn row_bytes(row: &DeadRow) -> usize {
    row.reason.len() + row.spared.len() * 10 + 64
}

/// Adds to a record that a dead letter, or a range of them, leaves the list. `drops`: it joins the dropped
/// ones.
pub(crate) fn unlist(
    change: &mut DeadLetterChange,
    index: &dyn Index,
    target: u16,
    (number, row): (u64, DeadRow),
    drops: bool,
) -> Result<(), IndexError> {
    let range = if row.to == 0 { dropped_range(index, target, number)? } else { None };
    change.gone.push(number);
    change.dropped.extend(range.or_else(|| drops.then_some((number, row))));
    Ok(())
}

/// The range of dropped letters that begins with that number. Removing a letter of the same number also
/// removes the mark of the range, so the record that does it writes the range again.
fn dropped_range(
    index: &dyn Index,
    target: u16,
    first: u64,
) -> Result<Option<(u64, DeadRow)>, IndexError> {
    let row = index.dead_at(target, first, true)?.filter(|row| row.to > 0);
    Ok(row.map(|row| (first, row)))
}

/// What is added to the reason of a dead letter whose events were removed.
pub(crate) fn gone_note(
    shared: &Shared,
    index: &dyn Index,
    first: u64,
    row: &DeadRow,
) -> Result<&'static str, IndexError> {
    let start = number(shared.reader.start(), 0);
    Ok(match row.to {
        0 if !shared.is_gone(index, first)? => "",
        to if to > start && first < start => " (the events of its first part are no longer kept)",
        to if to > start => "",
        0 | 1 => " (its event is no longer kept)",
        _ => " (its events are no longer kept)",
    })
}

/// Whether the event was in this store and retention removed it.
pub(crate) fn is_lost(shared: &Shared, id: EventId) -> Result<bool, StoreError> {
    let gone = shared.with_index(|index| shared.is_gone(index, id.number()))?;
    Ok(gone && id.store() == shared.identity.store)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_become_one_that_stands_for_them_alone() {
        let row = |at_ms, reason: &str| DeadRow {
            received_ms: 5,
            count: 1,
            attempts: 2,
            at_ms,
            reason: reason.into(),
            to: 0,
            spared: Vec::new(),
        };
        let rows = vec![(10, row(7, "a")), (12, row(9, "b")), (13, row(8, "b"))];
        let (first, one) = folded(rows).unwrap();
        assert_eq!((first, one.to, one.count, one.at_ms, &*one.reason), (10, 14, 3, 9, "b"));
        let died: Vec<u64> = (9..16).filter(|n| one.died(first, *n)).collect();
        assert_eq!(died, [10, 12, 13]);
        assert!(folded(Vec::new()).is_none());
    }
}
