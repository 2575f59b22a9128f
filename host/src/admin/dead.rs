//! What people change: dead letters replayed or dropped, targets paused and resumed.

use std::time::SystemTime;

use super::answer::Refused;
use super::wire::{Chosen, Count, DeadPage, Letter, Pause, Resume};
use super::{Inner, PAGE_MAX, TargetView};
use crate::model::{EventId, REASON_BYTES_MAX, Timestamp};
use crate::store::{Fate, Hold, HoldKind};

/// Most ids of one request.
const IDS_MAX: usize = 1_000;

/// The target of that name, or each value that it is fanned out to; without a name all targets.
fn targets(inner: &Inner, name: Option<&str>) -> Result<Vec<TargetView>, Refused> {
    let view = inner.view();
    let Some(name) = name else { return Ok(view.targets.clone()) };
    let is_meant = |target: &&TargetView| {
        let rest = target.name.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let meant: Vec<_> = view.targets.iter().filter(is_meant).cloned().collect();
    if meant.is_empty() {
        let names: Vec<_> = view.targets.iter().map(|target| &*target.name).collect();
        let known = names.join(", ");
        return Err(Refused::unknown(format!("there is no target {name:?}; there are {known}")));
    }
    Ok(meant)
}

fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

pub(super) async fn dead(
    inner: &Inner,
    name: Option<&str>,
    max: usize,
) -> Result<DeadPage, Refused> {
    let targets = targets(inner, name)?;
    // Counted first: what is counted is in the list once that is flushed.
    let total = targets.iter().map(|target| inner.queue.depth(target.number).dead).sum();
    inner.queue.flush().await?;
    let mut letters = Vec::new();
    for target in targets {
        let room = max.min(PAGE_MAX).saturating_sub(letters.len());
        if room == 0 {
            continue;
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
    Ok(DeadPage { letters, total })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    Replay,
    Drop,
}

pub(super) async fn replay(inner: &Inner, chosen: Chosen) -> Result<Count, Refused> {
    act(inner, chosen, Act::Replay).await
}

pub(super) async fn drop_dead(inner: &Inner, chosen: Chosen) -> Result<Count, Refused> {
    act(inner, chosen, Act::Drop).await
}

async fn act(inner: &Inner, chosen: Chosen, act: Act) -> Result<Count, Refused> {
    inner.queue.flush().await?;
    let targets = targets(inner, chosen.target.as_deref())?;
    let mut count = 0;
    if chosen.all {
        for target in &targets {
            count += act_on_all(inner, target, act, chosen.dry).await?;
        }
        return Ok(Count { count, skipped: 0 });
    }
    if chosen.events.len() > IDS_MAX {
        return Err(Refused::wrong(format!("more than {IDS_MAX} ids at once")));
    }
    let ids: Result<Vec<EventId>, _> = chosen.events.iter().map(|id| id.parse()).collect();
    let ids =
        ids.map_err(|error: crate::model::InvalidEventId| Refused::wrong(error.to_string()))?;
    // Without a name, an id stands for its dead letters; with one, for any event that is kept.
    let any = act == Act::Replay && chosen.target.is_some();
    for target in &targets {
        let mut here = Vec::new();
        for id in &ids {
            let mut letters = letter(inner, target, *id).await?;
            if letters == 0 && act == Act::Replay {
                letters = u64::from(died_in_a_run(inner, target, *id).await?);
            }
            if letters > 0 || any {
                here.push(*id);
                count += if chosen.dry { letters.max(1) } else { 0 };
            }
        }
        if !chosen.dry && !here.is_empty() {
            count += run(inner, target, act, here).await?;
        }
    }
    Ok(Count { count, skipped: 0 })
}

/// How many dead letters of the target the id stands for.
async fn letter(inner: &Inner, target: &TargetView, id: EventId) -> Result<u64, Refused> {
    let before = id.number().checked_sub(1);
    let after = before.map(|number| EventId::new(id.received_at(), id.store(), number));
    let found = inner.queue.dead_letters(target.number, after, 1).await?;
    Ok(found.first().filter(|letter| letter.event == id).map_or(0, |letter| letter.count))
}

/// Whether the id is of one in the midst of a run of dead letters.
async fn died_in_a_run(inner: &Inner, target: &TargetView, id: EventId) -> Result<bool, Refused> {
    let fates = inner.queue.fate(id).await?.map(|known| known.fates).unwrap_or_default();
    let here = |(number, fate): &(_, Fate)| {
        *number == target.number && matches!(fate, Fate::Dead { dropped: false, .. })
    };
    Ok(fates.iter().any(here))
}

async fn run(
    inner: &Inner,
    target: &TargetView,
    act: Act,
    ids: Vec<EventId>,
) -> Result<u64, Refused> {
    let count = match act {
        Act::Replay => inner.queue.replay(target.number, ids).await?,
        Act::Drop => inner.queue.drop_dead(target.number, ids).await?,
    };
    let what = if act == Act::Replay { "replayed" } else { "dropped" };
    tracing::info!(to = %target.name, count, "dead letters were {what} by hand");
    Ok(count)
}

/// Page by page: what dies again meanwhile is not taken twice.
async fn act_on_all(
    inner: &Inner,
    target: &TargetView,
    act: Act,
    dry: bool,
) -> Result<u64, Refused> {
    if dry {
        return Ok(inner.queue.depth(target.number).dead);
    }
    let (began, mut after, mut count) = (now(), None, 0);
    loop {
        let page = inner.queue.dead_letters(target.number, after, PAGE_MAX).await?;
        let Some(last) = page.last() else { return Ok(count) };
        after = Some(last.event);
        let old = page.iter().filter(|letter| letter.at <= began);
        let ids: Vec<EventId> = old.map(|letter| letter.event).collect();
        if !ids.is_empty() {
            count += run(inner, target, act, ids).await?;
        }
    }
}

pub(super) async fn pause(inner: &Inner, asked: Pause) -> Result<Count, Refused> {
    let targets = targets(inner, Some(&asked.target))?;
    if asked.reason.len() > REASON_BYTES_MAX {
        return Err(Refused::wrong(format!("a reason has at most {REASON_BYTES_MAX} bytes")));
    }
    let hold = Hold { kind: HoldKind::Paused, reason: asked.reason, since: now() };
    let mut count = 0;
    for target in targets {
        tracing::info!(to = %target.name, reason = hold.reason, "target paused by hand");
        inner.queue.hold(target.number, Some(hold.clone())).await?;
        count += inner.queue.depth(target.number).pending;
    }
    Ok(Count { count, skipped: 0 })
}

pub(super) async fn resume(inner: &Inner, asked: Resume) -> Result<Count, Refused> {
    let mut targets = targets(inner, Some(&asked.target))?;
    targets.retain(|target| inner.queue.held(target.number).is_some());
    if targets.is_empty() {
        let name = &asked.target;
        return Err(Refused::wrong(format!("target {name} is neither paused nor broken")));
    }
    let mut all = Count { count: 0, skipped: 0 };
    for target in targets {
        let mut skipped = 0;
        if let Some(since_ms) = asked.since_ms.filter(|_| !asked.dry) {
            let since = Timestamp::from_millis(since_ms);
            let reason = format!("skipped when the target was resumed: received before {since}");
            skipped = inner.queue.skip(target.number, since, reason).await?;
        }
        let count = inner.queue.depth(target.number).pending;
        if !asked.dry {
            inner.queue.hold(target.number, None).await?;
            tracing::info!(to = %target.name, count, skipped, "target resumed by hand");
        }
        all = Count { count: all.count + count, skipped: all.skipped + skipped };
    }
    Ok(all)
}
