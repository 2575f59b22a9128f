//! Drops deliveries that wait, and moves them from one target to another.

use super::IDS_MAX;
use super::error::RequestError;
use super::view::{Inner, TargetView};
use super::wire::{Count, Move, Selection};
use crate::model::{EventId, InvalidEventId};
use crate::store::{Fate, StoreError};

/// The reason of what was dropped while it waited.
pub(super) const DROPPED: &str = "dropped before it was delivered";
/// The start of the reason of what was moved.
pub(super) const MOVED: &str = "moved to target ";

pub(super) async fn discard(inner: &Inner, selection: Selection) -> Result<Count, RequestError> {
    let Some(name) = selection.target.as_deref() else { return Err(RequestError::NoTarget) };
    let targets = inner.selected(Some(name))?;
    if selection.events.len() > IDS_MAX {
        return Err(RequestError::TooManyIds);
    }
    let ids = selection.events.iter().map(|id| id.parse());
    let ids = ids.collect::<Result<Vec<EventId>, InvalidEventId>>()?;
    let ids = (!selection.all).then_some(ids);
    let (mut count, mut not_dropped) = (0, None);
    for target in targets {
        count += if selection.dry {
            match &ids {
                None => waiting(inner, &target),
                Some(ids) => waiting_of(inner, &target, ids).await?,
            }
        } else {
            let dropped = inner.queue.drop_waiting(target.number, ids.clone(), DROPPED.to_owned());
            let count = match dropped.await {
                Ok(count) => count,
                // Those of the other recipients are dropped all the same.
                Err(error @ StoreError::NotDropped { dropped, .. }) => {
                    not_dropped = Some(error);
                    dropped
                }
                Err(error) => return Err(error.into()),
            };
            tracing::info!(to = %target.name, count, "deliveries dropped by hand");
            count
        };
    }
    not_dropped.map_or(Ok(Count { count, ..Count::default() }), |error| Err(error.into()))
}

pub(super) async fn relocate(inner: &Inner, request: Move) -> Result<Count, RequestError> {
    let sources = inner.selected(Some(&request.from))?;
    let to = inner.configured(&request.to)?;
    let mut count = 0;
    for from in sources {
        if from.number == to.number {
            return Err(RequestError::SameTarget { name: request.to });
        }
        count += if request.dry {
            waiting(inner, &from)
        } else {
            let reason = format!("{MOVED}{}", to.name);
            let count = inner.queue.move_waiting(from.number, to.number, reason).await?;
            tracing::info!(from = %from.name, to = %to.name, count, "deliveries moved by hand");
            count
        };
    }
    Ok(Count { count, ..Count::default() })
}

/// How many deliveries wait and are not being attempted.
fn waiting(inner: &Inner, target: &TargetView) -> u64 {
    let depth = inner.queue.depth(target.number);
    depth.pending.saturating_sub(depth.in_flight)
}

/// How many of these events wait for the target; an error if there is none because they cannot be read.
async fn waiting_of(
    inner: &Inner,
    target: &TargetView,
    ids: &[EventId],
) -> Result<u64, RequestError> {
    let (mut count, mut unreadable) = (0, None);
    for id in ids {
        let fates = match inner.queue.fate(*id).await {
            Ok(known) => known.map(|known| known.fates).unwrap_or_default(),
            Err(error @ StoreError::Unreadable { .. }) => {
                unreadable.get_or_insert(error);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let here = fates.into_iter().find(|(number, _)| *number == target.number);
        let waits = |fate: &Fate| {
            matches!(fate, Fate::Waiting | Fate::Again { .. } | Fate::Retrying { .. })
        };
        count += u64::from(here.is_some_and(|(_, fate)| waits(&fate)));
    }
    match unreadable {
        Some(error) if count == 0 => Err(error.into()),
        _ => Ok(count),
    }
}
