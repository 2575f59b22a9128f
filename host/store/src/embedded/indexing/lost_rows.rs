//! Where the counts of a new index and its rows differ, because a part of the log that recorded them is lost.
//!
//! A checkpoint keeps how many there are. Which events they are for was in the rows, so what has none becomes one dead
//! letter, and a row that is not counted is counted again: its delivery is made again.

use std::ops::ControlFlow;

use dispatcher_model::TargetNumber;

use crate::embedded::core::inbox::Command;
use crate::embedded::core::shared::Shared;
use crate::embedded::format::record::{RecordedOutcome, Settled};
use crate::embedded::index::queries::Queries as _;
use crate::embedded::index::rows::{Index, IndexError};
use crate::embedded::state::apply::State;

/// Dead letters read at once.
const PAGE_ROWS: usize = 1_000;

/// What of a target has no row, or is not counted.
#[derive(Debug)]
pub(crate) struct LostRows {
    target: TargetNumber,
    retries: u64,
    letters: u64,
    uncounted: Vec<Settled>,
}

/// The differences in an index that has read all of the log.
fn find(index: &dyn Index, state: &State) -> Result<Vec<LostRows>, IndexError> {
    let mut lost = Vec::new();
    for (target, known) in (0..).zip(&state.targets) {
        let mut retries = known.counts.retrying;
        let mut uncounted = Vec::new();
        index.retries(target, 0, &mut |due_ms, number, row| {
            if retries > 0 {
                retries -= 1;
            } else {
                uncounted.push(Settled {
                    number,
                    received_ms: row.first_attempt_ms,
                    row_due_ms: Some(due_ms),
                    attempts: row.attempts,
                    first_attempt_ms: row.first_attempt_ms,
                    what: RecordedOutcome::Retry {
                        due_ms,
                        reason: row.reason,
                        progress: row.progress,
                    },
                });
            }
            ControlFlow::Continue(())
        })?;
        let letters = known.counts.dead.saturating_sub(listed(index, target)?);
        if retries > 0 || letters > 0 || !uncounted.is_empty() {
            lost.push(LostRows { target: TargetNumber(target), retries, letters, uncounted });
        }
    }
    Ok(lost)
}

/// How many dead letters of the target have rows.
fn listed(index: &dyn Index, target: u16) -> Result<u64, IndexError> {
    let (mut count, mut after) = (0, None);
    loop {
        let page = index.dead(target, after, PAGE_ROWS)?;
        count += page.iter().map(|(_, row)| row.count).sum::<u64>();
        match page.last() {
            Some((last, _)) if page.len() == PAGE_ROWS => after = Some(*last),
            _ => return Ok(count),
        }
    }
}

/// Ends the making of an index that has read all of the log. One that differs stays unfinished: if the process ends
/// before [`give_up`] is durable, the next one finds it again. The indexer ends it with the record, or else the next start
/// does.
pub(crate) fn finish(index: &dyn Index, state: &State) -> Result<Vec<LostRows>, IndexError> {
    if !index.is_unfinished()? {
        return Ok(Vec::new());
    }
    let lost = find(index, state)?;
    if lost.is_empty() {
        index.finish()?;
    }
    Ok(lost)
}

/// Has them recorded: as dead letters, or as retries that wait.
pub(crate) fn give_up(shared: &Shared, lost: Vec<LostRows>) {
    for LostRows { target, retries, letters, uncounted } in lost {
        shared.post(Command::LoseRows { target, retries, letters, uncounted });
    }
}
