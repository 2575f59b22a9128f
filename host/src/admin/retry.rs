//! Attempts now what waits for its time: a retry, the end of a throttle, the next probe of a target that is down.

use std::collections::BTreeMap;

use super::IDS_MAX;
use super::error::RequestError;
use super::view::{Inner, Standing, TargetView};
use super::wire::{Count, Retry};
use crate::model::{EventId, InvalidEventId, TargetNumber};
use crate::store::{Fate, HoldKind};
use crate::telemetry::Condition;

pub(super) async fn retry(inner: &Inner, request: Retry) -> Result<Count, RequestError> {
    let mut targets = inner.selected(request.target.as_deref())?;
    if request.target.is_some()
        && let [only] = &targets[..]
    {
        can_deliver(inner, only)?;
    }
    targets.retain(|target| can_deliver(inner, target).is_ok());
    let chosen = chosen(inner, &request).await?;
    let mut count = 0;
    for target in targets {
        let events = match &chosen {
            None => None,
            Some(chosen) => match chosen.get(&target.number) {
                Some(events) => Some(events.clone()),
                None => continue,
            },
        };
        let here = events.as_ref().map_or_else(|| waiting(inner, &target), |e| e.len() as u64);
        if here == 0 {
            continue;
        }
        count += here;
        if !request.dry {
            inner.queue.hasten(target.number, events).await?;
            if is_failing(inner, &target) {
                // The next attempt shows whether it works now.
                inner.feed.history().condition(&target.name, Condition::Unknown);
            }
            inner.host.resume(target.number);
            tracing::info!(to = %target.name, count = here, "deliveries attempted now, by hand");
        }
    }
    Ok(Count { count, skipped: 0 })
}

fn can_deliver(inner: &Inner, target: &TargetView) -> Result<(), RequestError> {
    let why = match (target.standing, inner.queue.held(target.number)) {
        (Standing::Removed, _) => "not configured any more; move or drop what waits for it",
        (Standing::Disabled, _) => "disabled in the configuration",
        (Standing::Enabled, Some(hold)) if hold.kind == HoldKind::Paused => {
            "paused; `dispatcher resume` ends that"
        }
        (Standing::Enabled, Some(_)) => "broken; fix it, then use `dispatcher resume`",
        (Standing::Enabled, None) => return Ok(()),
    };
    Err(RequestError::CannotDeliver { target: target.name.to_string(), why })
}

pub(super) fn is_failing(inner: &Inner, target: &TargetView) -> bool {
    matches!(inner.feed.history().target(&target.name).condition, Condition::Failing(_))
}

/// How many deliveries wait for their time: all of a target that gets none at the moment, else its retries.
pub(super) fn waiting(inner: &Inner, target: &TargetView) -> u64 {
    let depth = inner.queue.depth(target.number);
    if is_failing(inner, target) {
        depth.pending.saturating_sub(depth.in_flight)
    } else {
        depth.retrying
    }
}

/// The chosen events that wait, by their targets; `None`: everything that waits is chosen.
async fn chosen(
    inner: &Inner,
    request: &Retry,
) -> Result<Option<BTreeMap<TargetNumber, Vec<EventId>>>, RequestError> {
    if request.events.is_empty() {
        return Ok(None);
    }
    if request.events.len() > IDS_MAX {
        return Err(RequestError::TooManyIds);
    }
    let ids = request.events.iter().map(|id| id.parse());
    let ids = ids.collect::<Result<Vec<EventId>, InvalidEventId>>()?;
    let mut chosen = BTreeMap::<_, Vec<_>>::new();
    for id in ids {
        let fates = inner.queue.fate(id).await?.map(|known| known.fates).unwrap_or_default();
        for (target, fate) in fates {
            if matches!(fate, Fate::Waiting | Fate::Retrying { .. }) {
                chosen.entry(target).or_default().push(id);
            }
        }
    }
    Ok(Some(chosen))
}
