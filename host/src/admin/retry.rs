//! Attempts now what waits for its time: a retry, the end of a throttle, the next probe of a target that is down.

use std::collections::{BTreeMap, BTreeSet};

use super::IDS_MAX;
use super::error::RequestError;
use super::status::now;
use super::view::{Inner, Standing, TargetView};
use super::wire::{Count, Retry};
use crate::model::{EventId, InvalidEventId, TargetNumber};
use crate::store::{Fate, FoundEvent, HoldKind, Later, Retries};
use crate::telemetry::{Act, Condition};

pub(super) async fn retry(inner: &Inner, request: Retry) -> Result<Count, RequestError> {
    let mut targets = inner.selected(request.target.as_deref())?;
    let chosen = chosen(inner, &request, &targets).await?;
    targets.retain(|target| chosen.as_ref().is_none_or(|all| all.contains_key(&target.number)));
    let (mut all, mut first_held) = (Count::default(), None);
    for target in targets {
        let here = chosen.as_ref().and_then(|chosen| chosen.get(&target.number));
        if let Err(error) = can_deliver(inner, &target) {
            let depth = inner.queue.depth(target.number);
            all.skipped += here.map_or(depth.pending, |here| here.events.len() as u64);
            first_held.get_or_insert(error);
            continue;
        }
        let count = waiting(inner, &target, here).await?;
        if count == 0 {
            continue;
        }
        all.count += count;
        if !request.dry {
            attempt_now(inner, &target, here, count).await?;
        }
    }
    let is_asked_for = request.target.is_some() || !request.events.is_empty();
    match first_held {
        Some(error) if all.count == 0 && is_asked_for => Err(error),
        _ => Ok(all),
    }
}

async fn attempt_now(
    inner: &Inner,
    target: &TargetView,
    chosen: Option<&Chosen>,
    count: u64,
) -> Result<(), RequestError> {
    inner.queue.hasten(target.number, retries(target, chosen)).await?;
    // Ends no hold that came meanwhile.
    if can_deliver(inner, target).is_ok() {
        if is_failing(inner, target) {
            // The next attempt shows whether it works now.
            inner.feed.history().untried(&target.name, Act::MadeDue, now().as_millis());
        }
        inner.host.resume(target.number);
    }
    tracing::info!(to = %target.name, count, "deliveries made due by hand");
    Ok(())
}

/// Those of the chosen events; all without any.
fn retries(target: &TargetView, chosen: Option<&Chosen>) -> Retries {
    let Some(Chosen { events, .. }) = chosen else { return Retries::All };
    let events = events.clone();
    if target.combines { Retries::OfMessagesWith(events) } else { Retries::Of(events) }
}

const UNUSABLE: &str = "not usable as it is configured; `dispatcher status` says why";

fn can_deliver(inner: &Inner, target: &TargetView) -> Result<(), RequestError> {
    let why = match (target.standing, inner.queue.held(target.number)) {
        (Standing::Removed, _) => "not configured any more; move or drop what waits for it",
        (Standing::Disabled, _) => "disabled in the configuration",
        (Standing::Unasked, _) => UNUSABLE,
        (Standing::Enabled, Some(hold)) if hold.kind == HoldKind::Paused => {
            "paused; `dispatcher resume TARGET` ends that"
        }
        (Standing::Enabled, Some(_)) => "broken; fix it, then use `dispatcher resume TARGET`",
        (Standing::Enabled, None) => match inner.feed.history().target(&target.name).condition {
            Condition::Unusable(_) => UNUSABLE,
            _ => return Ok(()),
        },
    };
    Err(RequestError::CannotDeliver { target: target.name.to_string(), why })
}

pub(super) fn is_failing(inner: &Inner, target: &TargetView) -> bool {
    inner.feed.history().target(&target.name).condition.is_held_off()
}

/// The chosen deliveries that wait at one target.
#[derive(Debug, Default)]
struct Chosen {
    events: Vec<EventId>,
    /// How many of them were not attempted yet.
    untried: u64,
}

/// How many deliveries wait for their time: retries, and all that wait for a target that gets none at the moment. What
/// waits for a digest is sent with the next one.
async fn waiting(
    inner: &Inner,
    target: &TargetView,
    chosen: Option<&Chosen>,
) -> Result<u64, RequestError> {
    let later = inner.queue.later(target.number, retries(target, chosen)).await?;
    let Later { retries, for_digest } = later;
    if !is_failing(inner, target) {
        return Ok(retries);
    }
    let all = match chosen {
        // A message that failed is sent whole, also with events that were not chosen.
        Some(Chosen { events, untried }) => untried + retries.max(events.len() as u64 - untried),
        None => {
            let depth = inner.queue.depth(target.number);
            depth.pending.saturating_sub(depth.in_flight)
        }
    };
    Ok(all.saturating_sub(for_digest))
}

/// How many deliveries wait at these targets; none if that cannot be found out now.
pub(super) async fn all_waiting(inner: &Inner, targets: &[TargetView]) -> u64 {
    let mut all = 0;
    for target in targets {
        all += waiting(inner, target, None).await.unwrap_or_default();
    }
    all
}

/// The chosen events that wait, by their targets: those that they were routed to, and `targets`. `None`: everything that
/// waits is chosen.
async fn chosen(
    inner: &Inner,
    request: &Retry,
    targets: &[TargetView],
) -> Result<Option<BTreeMap<TargetNumber, Chosen>>, RequestError> {
    if request.events.is_empty() {
        return Ok(None);
    }
    if request.events.len() > IDS_MAX {
        return Err(RequestError::TooManyIds);
    }
    let ids = request.events.iter().map(|id| id.parse());
    let ids = ids.collect::<Result<BTreeSet<EventId>, InvalidEventId>>()?;
    let ids: Vec<EventId> = ids.into_iter().collect();
    let known = inner.queue.find(ids.clone()).await?;
    let known = ids
        .into_iter()
        .zip(known)
        .map(|(id, event)| event.ok_or_else(|| RequestError::UnknownEvent { id: id.to_string() }));
    let known = known.collect::<Result<Vec<FoundEvent>, _>>()?;
    let targets = targets.iter().map(|target| target.number).collect();
    let mut all = BTreeMap::<_, Chosen>::new();
    for (event, fates) in inner.queue.fates(known, targets).await? {
        for (target, fate) in fates {
            let untried = match fate {
                Fate::Waiting | Fate::Again { .. } => 1,
                Fate::Retrying { .. } => 0,
                Fate::Delivered { .. } | Fate::Dead { .. } | Fate::NotRouted { .. } => continue,
            };
            let here = all.entry(target).or_default();
            here.events.push(event.id);
            here.untried += untried;
        }
    }
    Ok(Some(all))
}
