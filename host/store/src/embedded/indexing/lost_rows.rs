//! Retries and dead letters that the state counts and the index has no rows of, because the part of the log that recorded
//! them is lost.
//!
//! A checkpoint keeps how many there are. Which events they are for was in the rows, so they become one dead letter. What is
//! listed and not counted was dropped or replayed by a record that is lost: it is counted again.

use std::ops::ControlFlow;

use dispatcher_model::TargetNumber;

use crate::embedded::core::inbox::{Command, LostRows};
use crate::embedded::core::shared::Shared;
use crate::embedded::index::queries::Queries as _;
use crate::embedded::index::rows::{Batch, Index, IndexError};
use crate::embedded::state::apply::State;

/// Dead letters read at once.
const PAGE_ROWS: usize = 1_000;

/// What has no rows in an index that has read all of the log.
fn find(index: &dyn Index, state: &mut State) -> Result<Vec<LostRows>, IndexError> {
    let (mut lost, mut again) = (Vec::new(), Batch::default());
    for (target, known) in (0..).zip(&mut state.targets) {
        let mut retries = known.counts.retrying;
        if retries > 0 {
            index.retries(target, 0, &mut |_, _, _| {
                retries = retries.saturating_sub(1);
                if retries > 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        let listed = listed(index, target)?;
        if listed > known.counts.dead {
            known.counts.dead = listed;
            again.target(target, known);
        }
        let letters = known.counts.dead - listed;
        if retries > 0 || letters > 0 {
            lost.push(LostRows { target: TargetNumber(target), retries, letters });
        }
    }
    if again.len() > 0 {
        index.commit(again)?;
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
/// before [`give_up`] is durable, the next one finds it again. The indexer ends it with the records, or else the next start
/// does.
pub(crate) fn finish(index: &dyn Index, state: &mut State) -> Result<Vec<LostRows>, IndexError> {
    if !index.is_unfinished()? {
        return Ok(Vec::new());
    }
    let lost = find(index, state)?;
    if lost.is_empty() {
        index.finish()?;
    }
    Ok(lost)
}

/// Has them recorded as dead letters, all at once.
pub(crate) fn give_up(shared: &Shared, lost: Vec<LostRows>) {
    if !lost.is_empty() {
        shared.post(Command::LoseRows(lost));
    }
}
