//! Removes index rows of events that retention removed.
//!
//! Only the rows and the start of the log decide what stays: an index that is rebuilt and swept has the
//! same rows as one swept after each removed segment. Dead letters are not swept: they are counted, so a
//! record removes each of them.

use super::queries::Queries as _;
use super::rows::{
    Batch, Index, IndexError, Row, Space, dead_key, outcome_key, place, place_key, word,
};
use crate::embedded::format::event_number::lsn_of;
use crate::embedded::format::record::DeadRow;

/// Most rows that are looked at for one batch.
const PAGE_ROWS: usize = 1_024;

/// Removes the rows of events before `start` that were not moved.
pub(crate) fn sweep(index: &dyn Index, targets: u16, start: u64) -> Result<(), IndexError> {
    let gone = |number| -> Result<bool, IndexError> {
        Ok(lsn_of(number) < start && place(index, number)?.is_none_or(|at| at < start))
    };
    pages(index, Space::Outcome, outcome_key(0, 0), |(key, _)| {
        let Some(number) = word(key, 0).filter(|number| lsn_of(*number) < start) else {
            return Ok(Look::Enough);
        };
        Ok(if gone(number)? { Look::Remove } else { Look::Keep })
    })?;
    for target in 0..targets {
        pages(index, Space::Dropped, dead_key(target, 0), |(key, value)| {
            let ours = key.starts_with(&target.to_be_bytes());
            let Some(first) = word(key, 2).filter(|first| ours && lsn_of(*first) < start) else {
                return Ok(Look::Enough);
            };
            let to = postcard::from_bytes::<DeadRow>(value).map_or(0, |row| row.to);
            let remove = if to > 0 { lsn_of(to) <= start } else { gone(first)? };
            Ok(if remove { Look::Remove } else { Look::Keep })
        })?;
    }
    pages(index, Space::Place, place_key(0), |(_, value)| {
        Ok(if word(value, 0).is_none_or(|at| at < start) { Look::Remove } else { Look::Keep })
    })
}

enum Look {
    Remove,
    Keep,
    /// Neither this row nor any behind it.
    Enough,
}

fn pages(
    index: &dyn Index,
    space: Space,
    mut from: Vec<u8>,
    look: impl Fn(&Row) -> Result<Look, IndexError>,
) -> Result<(), IndexError> {
    loop {
        let page = index.scan(space, &from, PAGE_ROWS)?;
        let (mut batch, mut enough) = (Batch::default(), page.len() < PAGE_ROWS);
        for row in &page {
            match look(row)? {
                Look::Remove => {
                    if space == Space::Dropped {
                        remove_mark(index, &mut batch, &row.0)?;
                    }
                    batch.rows.insert((space, row.0.clone()), None);
                }
                Look::Keep => {}
                Look::Enough => {
                    enough = true;
                    break;
                }
            }
        }
        if let Some((last, _)) = page.last() {
            from.clone_from(last);
            from.push(0);
        }
        if !batch.rows.is_empty() {
            index.commit(batch)?;
        }
        if enough {
            return Ok(());
        }
    }
}

/// A range that is not listed any more needs no mark. A single letter of its first event has none.
fn remove_mark(index: &dyn Index, batch: &mut Batch, key: &[u8]) -> Result<(), IndexError> {
    let (target, first) = (key.first_chunk().copied().map(u16::from_be_bytes), word(key, 2));
    if let Some((target, first)) = target.zip(first)
        && index.dead_at(target, first, false)?.is_none_or(|row| row.to == 0)
    {
        batch.rows.insert((Space::Range, key.to_vec()), None);
    }
    Ok(())
}
