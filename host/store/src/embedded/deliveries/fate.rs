//! What became of an event: its request from the log, and each delivery from the index.

use std::ops::ControlFlow;

use dispatcher_model::{EventId, Receipt, TargetNumber, Timestamp};

use crate::embedded::core::shared::Shared;
use crate::embedded::core::shared::Target;
use crate::embedded::deliveries::unreadable::stored;
use crate::embedded::index::queries::Queries as _;
use crate::embedded::index::rows::{DeadRow, Index, IndexError, RetryRow};
use crate::embedded::platform::clock::Now;
use crate::embedded::platform::locks::{lock, read_lock};
use crate::{EventFate, Fate, StoreError};

impl Shared {
    /// Whether the event of that number was routed to the target when it was received.
    pub(crate) fn is_planned(
        &self,
        index: &dyn Index,
        number: u64,
        target: u16,
    ) -> Result<bool, StoreError> {
        let origin = self.origin_with(index, number)?;
        Ok(origin.is_some_and(|origin| origin.targets.contains(&target)))
    }
}

/// `None` for an unknown event.
///
/// # Errors
/// [`StoreError::Unreadable`], among others.
pub(crate) fn fate(shared: &Shared, id: EventId) -> Result<Option<EventFate>, StoreError> {
    let Some(origin) = stored(shared, id)? else { return Ok(None) };
    let fates = shared.with_index(|index| {
        let (mut fates, now) = (Vec::new(), shared.now());
        for target in read_lock(&shared.targets).iter() {
            let planned = origin.targets.contains(&target.number);
            let reason = origin.unrouted.iter().find(|(name, _)| **name == *target.name);
            let reason = reason.map(|(_, reason)| reason.as_str()).unwrap_or_default();
            let fate = of_target(index, target, (id.number(), now), planned)?;
            let fate = fate.unwrap_or_else(|| Fate::NotRouted { reason: reason.to_owned() });
            fates.push((TargetNumber(target.number), fate));
        }
        Ok(fates)
    })?;
    Ok(Some(EventFate {
        event: std::sync::Arc::new(origin.event),
        verified_at: origin.verified_at,
        scheme: origin.scheme,
        key: origin.key,
        config: origin.config,
        fates,
    }))
}

fn of_target(
    index: &dyn Index,
    target: &Target,
    (number, now): (u64, Now),
    planned: bool,
) -> Result<Option<Fate>, IndexError> {
    if planned && lock(&target.live).is_open(number) {
        return Ok(Some(Fate::Waiting));
    }
    let mut found = None;
    let mut visit = |due_ms, row_number, row: RetryRow| {
        if row_number != number {
            return ControlFlow::Continue(());
        }
        found = Some(of_row(due_ms, row, now));
        ControlFlow::Break(())
    };
    index.retries(target.number, 0, &mut visit)?;
    match found {
        Some(fate) => Ok(Some(fate)),
        None => ended_at(index, target.number, number, planned),
    }
}

/// Of a delivery that has a row of retries.
pub(super) fn of_row(due_ms: u64, row: RetryRow, now: Now) -> Fate {
    let at = now.show(due_ms);
    if row.attempts == 0 {
        // What waits for a digest has a row too, but is due later than at once.
        let is_again = due_ms == row.first_attempt_ms;
        return if is_again { Fate::Again { since: at, due: at } } else { Fate::Waiting };
    }
    Fate::Retrying { attempts: row.attempts, at, reason: row.reason }
}

/// Of a delivery that does not wait.
pub(super) fn ended_at(
    index: &dyn Index,
    target: u16,
    number: u64,
    planned: bool,
) -> Result<Option<Fate>, IndexError> {
    if let Some(row) = dead(index, target, number, planned, false)? {
        return Ok(Some(ended(row, false)));
    }
    // A replay removes the outcome, so an outcome is newer than any drop. Times are not compared, because
    // the clock may have been set.
    if let Some(row) = index.outcome(target, number)? {
        let receipt = Receipt { id: row.receipt, fields: row.fields };
        let at = Some(Timestamp::from_millis(row.at_ms));
        return Ok(Some(Fate::Delivered { receipt, attempts: row.attempts, at }));
    }
    if let Some(row) = dead(index, target, number, planned, true)? {
        return Ok(Some(ended(row, true)));
    }
    // Neither open nor an exception: delivered at the first attempt, without a receipt.
    Ok(planned.then(|| Fate::Delivered { receipt: Receipt::default(), attempts: 1, at: None }))
}

/// The row of dead letters, or of dropped ones, that includes the number.
fn dead(
    index: &dyn Index,
    target: u16,
    number: u64,
    planned: bool,
    dropped: bool,
) -> Result<Option<DeadRow>, IndexError> {
    let single = index.dead_at(target, number, dropped)?;
    if single.is_some() || !planned {
        return Ok(single);
    }
    Ok(index.dead_within(target, number, dropped)?.map(|(_, row)| row))
}

fn ended(row: DeadRow, dropped: bool) -> Fate {
    let at = Timestamp::from_millis(row.at_ms);
    Fate::Dead { attempts: row.attempts, at, reason: row.reason, dropped }
}
