//! Lists, replays and drops dead letters.

use std::collections::{BTreeMap, BTreeSet};

use super::error::RequestError;
use super::status::now;
use super::view::{Inner, TargetView};
use super::wire::{Count, DeadPage, Letter, Selection};
use super::{IDS_MAX, PAGE_MAX};
use crate::model::{EventId, InvalidEventId};
use crate::store::{DeadLetter, Fate, StoreError};

pub(super) async fn list(
    inner: &Inner,
    name: Option<&str>,
    max: usize,
) -> Result<DeadPage, RequestError> {
    let targets = inner.selected(name)?;
    // Counted before the wait, so that everything counted is in the list.
    let total = targets.iter().map(|target| inner.queue.depth(target.number).dead).sum();
    inner.queue.caught_up().await?;
    let mut letters = Vec::new();
    for target in targets {
        let room = max.min(PAGE_MAX).saturating_sub(letters.len());
        if room == 0 {
            break;
        }
        for letter in inner.queue.dead_letters(target.number, None, room).await? {
            letters.push(Letter {
                target: target.name.to_string(),
                event: letter.event.to_string(),
                count: letter.count,
                attempts: letter.attempts,
                time: letter.at.to_string(),
                reason: letter.reason,
            });
        }
    }
    // An index that was made again has all letters that the log has.
    let rebuilding = inner.queue.rebuilding().is_some();
    let damage = if rebuilding { inner.queue.damage() } else { inner.queue.log_damage() };
    Ok(DeadPage { letters, total, damage })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Replay,
    Drop,
}

pub(super) async fn replay(inner: &Inner, selection: Selection) -> Result<Count, RequestError> {
    operate(inner, selection, Operation::Replay).await
}

pub(super) async fn discard(inner: &Inner, selection: Selection) -> Result<Count, RequestError> {
    operate(inner, selection, Operation::Drop).await
}

async fn operate(
    inner: &Inner,
    selection: Selection,
    operation: Operation,
) -> Result<Count, RequestError> {
    if selection.dry {
        inner.queue.caught_up().await?;
    } else {
        inner.queue.flush().await?;
    }
    let targets = inner.selected(selection.target.as_deref())?;
    let mut count = 0;
    if selection.all {
        for target in &targets {
            count += match selection.dry {
                true => inner.queue.depth(target.number).dead,
                false => operate_on_all(inner, target, operation).await?,
            };
        }
        return Ok(Count { count, ..Count::default() });
    }
    if selection.events.len() > IDS_MAX {
        return Err(RequestError::TooManyIds);
    }
    let ids: Result<Vec<EventId>, InvalidEventId> =
        selection.events.iter().map(|id| id.parse()).collect();
    operate_on(inner, (&targets, &ids?), operation, &selection).await
}

/// Operates on single dead letters, and says of the others why not.
async fn operate_on(
    inner: &Inner,
    (targets, ids): (&[TargetView], &[EventId]),
    operation: Operation,
    selection: &Selection,
) -> Result<Count, RequestError> {
    let mut refused = BTreeMap::new();
    for id in ids {
        refused.extend(lost(inner, *id).await?.map(|why| (*id, why)));
    }
    // A replay to a named target may deliver any stored event; without a name only dead letters.
    let any_event = operation == Operation::Replay && selection.target.is_some();
    let (mut count, mut found) = (0, BTreeSet::new());
    for target in targets {
        let mut here = Vec::new();
        for id in ids {
            let is_lost = refused.contains_key(id);
            if is_lost && operation == Operation::Replay {
                continue;
            }
            let (listed, mut letters) = letters_at(inner, target, *id, is_lost).await?;
            if letters == 0 && operation == Operation::Replay {
                letters = u64::from(is_within_a_run(inner, target, *id).await?);
            }
            if letters > 0 || any_event {
                found.insert(*id);
                here.push(listed);
                count += if selection.dry { letters.max(1) } else { 0 };
            }
        }
        if !selection.dry && !here.is_empty() {
            count += apply(inner, target, operation, here).await?;
        }
    }
    let reason = |id: &EventId| {
        let why = refused.get(id).map_or("no dead letter has this id", |why| why);
        format!("{id}: {why}")
    };
    let reasons = ids.iter().filter(|id| !found.contains(id)).map(reason).collect();
    Ok(Count { count, reasons, ..Count::default() })
}

/// Why the event cannot be delivered again, if it is lost.
async fn lost(inner: &Inner, id: EventId) -> Result<Option<String>, RequestError> {
    match inner.queue.fate(id).await {
        Err(error @ StoreError::Unreadable { .. }) => Ok(Some(error.to_string())),
        known => Ok(known.map(|_| None)?),
    }
}

/// How many dead letters of the target are listed under this id, and the id of the list: that of an event which is lost has
/// another time.
async fn letters_at(
    inner: &Inner,
    target: &TargetView,
    id: EventId,
    is_lost: bool,
) -> Result<(EventId, u64), RequestError> {
    let before = id.number().checked_sub(1);
    let after = before.map(|number| EventId::new(id.received_at(), id.store(), number));
    let found = inner.queue.dead_letters(target.number, after, 1).await?;
    let is_it = |letter: &&DeadLetter| {
        let listed = letter.event;
        let same_place = (listed.number(), listed.store()) == (id.number(), id.store());
        listed == id || (is_lost && same_place)
    };
    Ok(found.first().filter(is_it).map_or((id, 0), |letter| (letter.event, letter.count)))
}

/// Whether the event is a dead letter that a run lists under another id.
async fn is_within_a_run(
    inner: &Inner,
    target: &TargetView,
    id: EventId,
) -> Result<bool, RequestError> {
    let fates = match inner.queue.fate(id).await {
        // What cannot be read is listed under the first event of its place.
        Err(StoreError::Unreadable { .. }) => return Ok(false),
        known => known?.map(|known| known.fates).unwrap_or_default(),
    };
    let is_dead_here = |(number, fate): &(_, Fate)| {
        *number == target.number && matches!(fate, Fate::Dead { dropped: false, .. })
    };
    Ok(fates.iter().any(is_dead_here))
}

async fn apply(
    inner: &Inner,
    target: &TargetView,
    operation: Operation,
    ids: Vec<EventId>,
) -> Result<u64, RequestError> {
    Ok(match operation {
        Operation::Replay => {
            let count = inner.queue.replay(target.number, ids).await?;
            tracing::info!(to = %target.name, count, "dead letters replayed by hand");
            count
        }
        Operation::Drop => {
            let count = inner.queue.drop_dead(target.number, ids).await?;
            tracing::info!(to = %target.name, count, "dead letters dropped by hand");
            count
        }
    })
}

/// Page by page. A letter that is given up again meanwhile is not taken twice.
async fn operate_on_all(
    inner: &Inner,
    target: &TargetView,
    operation: Operation,
) -> Result<u64, RequestError> {
    let (began, mut after, mut count) = (now(), None, 0);
    loop {
        let page = inner.queue.dead_letters(target.number, after, PAGE_MAX).await?;
        let Some(last) = page.last() else { return Ok(count) };
        after = Some(last.event);
        let old = page.iter().filter(|letter| letter.at <= began);
        let ids: Vec<EventId> = old.map(|letter| letter.event).collect();
        if !ids.is_empty() {
            count += apply(inner, target, operation, ids).await?;
        }
    }
}
