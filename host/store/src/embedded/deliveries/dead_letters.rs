//! Replays and drops dead letters.
//!
//! Each operation holds the target's reading lock, so that nothing else changes between reading the index
//! and writing the record. A long range is handled in chunks, one record each.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use dispatcher_model::{EventId, TargetNumber, Timestamp};

use super::gone::{gone_note, is_lost, row_bytes, unlist};
use super::unreadable::lost_place;
use crate::embedded::core::blocking::blocking;
use crate::embedded::core::events::event;
use crate::embedded::core::events::log_error;
use crate::embedded::core::inbox::{Command, unknown};
use crate::embedded::core::shared::{Shared, Target};
use crate::embedded::format::event_number::number;
use crate::embedded::format::record::{ActKind, DeadLetterChange, to_deltas};
use crate::embedded::format::runs::Runs;
use crate::embedded::index::queries::Queries as _;
use crate::embedded::index::rows::{DeadRow, Index, IndexError};
use crate::embedded::limits::SETTLEMENT_BYTES_MAX;
use crate::embedded::log::reader::Damaged;
use crate::embedded::platform::locks::lock;
use crate::{DeadLetter, StoreError};

/// Most deliveries in one record.
const CHUNK_MAX: usize = 1_000;

/// Dead letters of a target behind that event, oldest first.
pub(crate) fn list(
    shared: &Shared,
    target: TargetNumber,
    after: Option<EventId>,
    max: usize,
) -> Result<Vec<DeadLetter>, StoreError> {
    let store = shared.identity.store;
    shared.with_index(|index| {
        let rows = index.dead(target.0, after.map(EventId::number), max)?;
        let letter = |(number, row): (u64, DeadRow)| {
            let note = gone_note(shared, index, number, &row)?;
            Ok(DeadLetter {
                target,
                event: EventId::new(Timestamp::from_millis(row.received_ms), store, number),
                count: row.count,
                attempts: row.attempts,
                at: Timestamp::from_millis(row.at_ms),
                reason: row.reason + note,
            })
        };
        rows.into_iter().map(letter).collect::<Result<_, IndexError>>()
    })
}

/// What operators do with the dead letters of a target.
pub(crate) struct DeadLetters<'a>(pub &'a Arc<Shared>);

impl DeadLetters<'_> {
    fn known(&self, number: TargetNumber) -> Result<Arc<Target>, StoreError> {
        self.0.target(number.0).ok_or_else(|| unknown(number))
    }

    async fn change(
        &self,
        target: TargetNumber,
        change: DeadLetterChange,
    ) -> Result<u64, StoreError> {
        self.0
            .ask(|reply| Command::Operate { target, what: ActKind::DeadLetters(change), reply })
            .await
    }

    async fn flush(&self) -> Result<(), StoreError> {
        self.0.ask(|reply| Command::Flush { reply }).await
    }

    pub(crate) async fn replay(
        &self,
        number: TargetNumber,
        events: Vec<EventId>,
    ) -> Result<u64, StoreError> {
        let target = self.known(number)?;
        let _alone = target.loading.clone().lock_owned().await;
        let mut replayed = 0;
        for chunk in events.chunks(CHUNK_MAX) {
            let (shared, on, ids) = (self.0.clone(), target.clone(), chunk.to_vec());
            let numbers = blocking(move || candidates(&shared, &on, &ids)).await?;
            // The index must first have the rows of everything settled so far.
            self.flush().await?;
            let (shared, on) = (self.0.clone(), target.clone());
            let mut plan = blocking(move || {
                shared.with_index_and_log(|index| plan(&shared, index, &on, numbers))
            })
            .await?;
            replayed += plan.change.replayed.len() as u64;
            if !plan.change.replayed.is_empty() {
                plan.change.replayed = to_deltas(&plan.change.replayed);
                self.change(number, plan.change).await?;
            }
            for first in plan.ranges {
                replayed += self.replay_range(number, first).await?;
            }
            for inside in plan.inside {
                replayed += self.replay_inside(number, inside).await?;
            }
        }
        // The list must no longer show them.
        self.flush().await?;
        match events[..] {
            [id] if replayed == 0 => self.must_be_kept(id).await.map(|()| 0),
            _ => Ok(replayed),
        }
    }

    /// An error if retention removed the event.
    async fn must_be_kept(&self, id: EventId) -> Result<(), StoreError> {
        let shared = self.0.clone();
        let lost = blocking(move || is_lost(&shared, id)).await?;
        if lost { Err(StoreError::NotKept(id)) } else { Ok(()) }
    }

    async fn replay_range(&self, target: TargetNumber, first: u64) -> Result<u64, StoreError> {
        let (mut next, mut replayed) = (Some(first), 0);
        while let Some(first) = next.take() {
            // The previous record made the row.
            self.flush().await?;
            let shared = self.0.clone();
            let change = blocking(move || chunk_of_range(&shared, target.0, first)).await?;
            let Some(change) = change else { break };
            replayed += change.replayed.len() as u64;
            next = change.left.as_ref().map(|(first, _)| *first);
            self.change(target, change).await?;
        }
        Ok(replayed)
    }

    /// Replays one event of a range. The range no longer includes it.
    async fn replay_inside(&self, target: TargetNumber, inside: u64) -> Result<u64, StoreError> {
        self.flush().await?;
        let shared = self.0.clone();
        match blocking(move || spare(&shared, target.0, inside)).await? {
            Some(change) => self.change(target, change).await,
            None => Ok(0),
        }
    }

    pub(crate) async fn drop(
        &self,
        number: TargetNumber,
        events: Vec<EventId>,
    ) -> Result<u64, StoreError> {
        let target = self.known(number)?;
        let _alone = target.loading.clone().lock_owned().await;
        self.flush().await?;
        let events: BTreeSet<EventId> = events.into_iter().collect();
        let mut left: Vec<EventId> = events.into_iter().rev().collect();
        let mut dropped = 0;
        while !left.is_empty() {
            let shared = self.0.clone();
            let (change, rest) = blocking(move || drops(&shared, number.0, left)).await?;
            left = rest;
            dropped += change.count;
            if !change.gone.is_empty() {
                self.change(number, change).await?;
            }
        }
        self.flush().await?;
        Ok(dropped)
    }
}

/// The next record that drops dead letters, and the ids that are left.
fn drops(
    shared: &Shared,
    target: u16,
    mut ids: Vec<EventId>,
) -> Result<(DeadLetterChange, Vec<EventId>), StoreError> {
    shared.with_index(|index| {
        let (mut change, mut bytes) = (DeadLetterChange::default(), 0);
        while bytes < SETTLEMENT_BYTES_MAX {
            let Some(id) = ids.pop() else { break };
            let row = index.dead_at(target, id.number(), false)?;
            if let Some(row) = row.filter(|row| is_of(shared, id, row)) {
                bytes += row_bytes(&row);
                change.count += row.count;
                unlist(&mut change, index, target, (id.number(), row), true)?;
            }
        }
        Ok((change, ids))
    })
}

/// Whether the row belongs to exactly that event.
fn is_of(shared: &Shared, id: EventId, row: &DeadRow) -> bool {
    id == EventId::new(Timestamp::from_millis(row.received_ms), shared.identity.store, id.number())
}

/// Numbers of the events that exist, except those that wait for their first attempt at the target.
fn candidates(
    shared: &Shared,
    target: &Target,
    ids: &[EventId],
) -> Result<BTreeSet<u64>, StoreError> {
    let mut numbers = BTreeSet::new();
    for id in ids {
        let number = id.number();
        if event(shared, number)?.is_none_or(|event| event.id != *id) {
            continue;
        }
        let open = lock(&target.live).is_open(number);
        let is_planned = |index: &dyn Index| shared.is_planned(index, number, target.number);
        let planned = open && shared.with_index_and_log(is_planned)?;
        if !planned {
            numbers.insert(number);
        }
    }
    Ok(numbers)
}

struct Plan {
    /// Its `replayed` has numbers, not differences yet.
    change: DeadLetterChange,
    /// Ranges that are replayed as a whole.
    ranges: Vec<u64>,
    /// Single events in ranges.
    inside: Vec<u64>,
}

fn plan(
    shared: &Shared,
    index: &dyn Index,
    target: &Target,
    numbers: BTreeSet<u64>,
) -> Result<Plan, StoreError> {
    let mut plan =
        Plan { change: DeadLetterChange::default(), ranges: Vec::new(), inside: Vec::new() };
    let mut others = BTreeSet::new();
    for number in numbers {
        match index.dead_at(target.number, number, false)? {
            Some(row) if row.to == 0 => {
                unlist(&mut plan.change, index, target.number, (number, row), false)?;
                plan.change.count += 1;
                plan.change.replayed.push(number);
            }
            Some(_) => plan.ranges.push(number),
            None => {
                let within = index.dead_within(target.number, number, false)?.is_some();
                if within && shared.is_planned(index, number, target.number)? {
                    plan.inside.push(number);
                } else {
                    others.insert(number);
                }
            }
        }
    }
    if !others.is_empty() {
        let mut visit = |_, number, _| {
            others.remove(&number);
            ControlFlow::Continue(())
        };
        index.retries(target.number, 0, &mut visit)?;
        plan.change.replayed.extend(others);
    }
    plan.change.replayed.sort_unstable();
    Ok(plan)
}

/// The record that replays one event of a range.
fn spare(
    shared: &Shared,
    target: u16,
    number: u64,
) -> Result<Option<DeadLetterChange>, StoreError> {
    let found = shared.with_index(|index| index.dead_within(target, number, false))?;
    let Some((first, mut row)) = found else { return Ok(None) };
    let mut spared = Runs::from_deltas(first, &row.spared);
    spared.insert(number, number + 1);
    row.spared = spared.to_deltas(first);
    row.count = row.count.saturating_sub(1);
    let is_empty = row.count == 0;
    Ok(Some(DeadLetterChange {
        gone: if is_empty { vec![first] } else { Vec::new() },
        count: 1,
        left: (!is_empty).then_some((first, row)),
        replayed: vec![number],
        ..DeadLetterChange::default()
    }))
}

/// The next record that replays a range; `None` if none of it can be read. What cannot be read stays dead.
fn chunk_of_range(
    shared: &Shared,
    target: u16,
    first: u64,
) -> Result<Option<DeadLetterChange>, StoreError> {
    let row = shared.with_index(|index| index.dead_at(target, first, false))?;
    let Some(row) = row else { return Ok(None) };
    let mut spared = Runs::from_deltas(first, &row.spared);
    let (mut dead, damaged) = shared
        .reader
        .planned(target, first..row.to, CHUNK_MAX + 1, &spared)
        .map_err(|error| log_error(shared, &error))?;
    if dead.is_empty() {
        return Ok(None);
    }
    let next = (dead.len() > CHUNK_MAX).then(|| dead.pop()).flatten();
    let read_to = next.map_or(row.to, |(next, _)| next);
    let places = damaged.iter().filter(|place| number(place.lsn, 0) < read_to);
    let mut to = 0;
    for (i, place) in places.clone().enumerate() {
        // Between two of them everything is replayed.
        if i > 0 {
            spared.insert(to, number(place.lsn, 0));
        }
        to = place.to.min(row.to);
    }
    let damaged = places.clone().next();
    // What is spared may have a letter of its own.
    let first_in = |place: &Damaged, spared: &Runs| spared.gap_from(number(place.lsn, 0));
    let left = match (damaged, next) {
        (None, None) => None,
        (None, Some((next, received))) => Some((next, received.as_millis(), row.to)),
        (Some(place), None) => Some((first_in(place, &spared).min(to - 1), row.at_ms, to)),
        (Some(place), Some((next, _))) => {
            let first = first_in(place, &spared);
            spared.insert(to, next);
            Some((first, row.at_ms, row.to))
        }
    };
    let left = left.map(|(from, received_ms, to)| {
        let reason = match (damaged, next) {
            (Some(place), None) => lost_place(shared, place),
            _ => row.reason.clone(),
        };
        let row = DeadRow {
            received_ms,
            count: row.count.saturating_sub(dead.len() as u64).max(1),
            spared: spared.within(from, to).to_deltas(from),
            to,
            reason,
            ..row.clone()
        };
        (from, row)
    });
    let count = row.count - left.as_ref().map_or(0, |(_, left)| left.count).min(row.count);
    let numbers: Vec<u64> = dead.into_iter().map(|(number, _)| number).collect();
    Ok(Some(DeadLetterChange {
        gone: vec![first],
        count,
        left,
        replayed: to_deltas(&numbers),
        dropped: Vec::new(),
    }))
}
