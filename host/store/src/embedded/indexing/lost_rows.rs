//! Retries that the state counts and the index has no rows of, because the part of the log that recorded them is lost.
//!
//! A checkpoint keeps how many they are. Which events they are for was in the rows, so they become one dead letter.

use std::ops::ControlFlow;

use dispatcher_model::TargetNumber;

use crate::embedded::core::inbox::Command;
use crate::embedded::core::shared::Shared;
use crate::embedded::index::queries::Queries as _;
use crate::embedded::index::rows::{Index, IndexError};
use crate::embedded::state::apply::State;

/// How many retries of a target have no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LostRows {
    target: TargetNumber,
    count: u64,
}

/// The retries without rows in an index that has read all of the log.
fn find(index: &dyn Index, state: &State) -> Result<Vec<LostRows>, IndexError> {
    let mut lost = Vec::new();
    for (target, known) in (0..).zip(&state.targets) {
        let mut count = known.counts.retrying;
        if count > 0 {
            index.retries(target, 0, &mut |_, _, _| {
                count = count.saturating_sub(1);
                if count > 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        if count > 0 {
            lost.push(LostRows { target: TargetNumber(target), count });
        }
    }
    Ok(lost)
}

/// Ends the making of an index that has read all of the log. One that lacks rows stays unfinished: if the process ends
/// before [`give_up`] is durable, the next one finds them again. The indexer ends it with the record.
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

/// Has them recorded as dead letters.
pub(crate) fn give_up(shared: &Shared, lost: Vec<LostRows>) {
    for LostRows { target, count } in lost {
        shared.post(Command::LoseRows { target, count });
    }
}
