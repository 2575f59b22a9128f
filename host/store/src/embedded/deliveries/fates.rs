//! What became of many events, with one pass over the retries of each target.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use dispatcher_model::TargetNumber;

use super::fate::{ended_at, of_row};
use crate::embedded::core::blocking::blocking;
use crate::embedded::core::inbox::Command;
use crate::embedded::core::shared::Shared;
use crate::embedded::index::queries::Queries as _;
use crate::embedded::index::rows::{Index, IndexError};
use crate::embedded::platform::clock::Now;
use crate::embedded::platform::locks::lock;
use crate::{Fate, FoundEvent, FoundFates, StoreError};

/// One target with the events to look for there.
struct Asked {
    target: u16,
    /// Places in the list of events, by the number of the event.
    planned: BTreeMap<u64, usize>,
    /// Not routed to it, but perhaps replayed.
    others: BTreeMap<u64, usize>,
    /// Never claimed, or in the first attempt.
    open: BTreeSet<u64>,
}

/// `others`: targets that are asked about every event.
pub(crate) async fn fates(
    shared: &Arc<Shared>,
    events: Vec<FoundEvent>,
    others: Vec<TargetNumber>,
) -> Result<Vec<FoundFates>, StoreError> {
    let mut asked = BTreeMap::<u16, Asked>::new();
    let new = |target| Asked {
        target,
        planned: BTreeMap::new(),
        others: BTreeMap::new(),
        open: BTreeSet::new(),
    };
    for (place, event) in events.iter().enumerate() {
        let number = event.id.number();
        for target in &event.targets {
            asked.entry(target.0).or_insert_with(|| new(target.0)).planned.insert(number, place);
        }
        for target in others.iter().filter(|target| !event.targets.contains(target)) {
            asked.entry(target.0).or_insert_with(|| new(target.0)).others.insert(number, place);
        }
    }
    // What is not open now was settled before, and is then in the index.
    for asked in asked.values_mut() {
        let Some(target) = shared.target(asked.target) else { continue };
        let live = lock(&target.live);
        asked.open = asked.planned.keys().copied().filter(|number| live.is_open(*number)).collect();
    }
    shared.ask(|reply| Command::CatchUp { reply }).await?;
    let shared = shared.clone();
    blocking(move || {
        let mut all: Vec<Vec<_>> = events.iter().map(|_| Vec::new()).collect();
        let now = shared.now();
        for asked in asked.into_values() {
            let number = TargetNumber(asked.target);
            for (place, fate) in shared.with_index(|index| of_target(index, asked, now))? {
                all[place].push((number, fate));
            }
        }
        Ok(events.into_iter().zip(all).collect())
    })
    .await
}

fn of_target(index: &dyn Index, asked: Asked, now: Now) -> Result<Vec<(usize, Fate)>, IndexError> {
    let Asked { target, planned, others, open } = asked;
    let mut retries = BTreeMap::new();
    index.retries(target, 0, &mut |due_ms, number, row| {
        if planned.contains_key(&number) || others.contains_key(&number) {
            retries.insert(number, of_row(due_ms, row, now));
        }
        ControlFlow::Continue(())
    })?;
    let mut fates = Vec::new();
    let all = planned.into_iter().map(|event| (event, true));
    for ((number, place), planned) in all.chain(others.into_iter().map(|event| (event, false))) {
        let waits = open.contains(&number).then_some(Fate::Waiting);
        let fate = match waits.or_else(|| retries.remove(&number)) {
            Some(fate) => Some(fate),
            None => ended_at(index, target, number, planned)?,
        };
        fates.extend(fate.map(|fate| (place, fate)));
    }
    Ok(fates)
}
