//! Gives up, drops and moves deliveries that wait, because a person asked for it.
//!
//! Each operation holds the reading locks of its targets and stops claims, so that nothing but settlements
//! changes what waits. A claimed delivery is left alone. A move first makes the deliveries of the other target
//! durable, then drops those of the first: a crash in between leaves both, and the next move does not add what
//! the other target has already.

use std::collections::BTreeSet;
use std::sync::Arc;

use dispatcher_model::{EventId, REASON_BYTES_MAX, TargetNumber, Timestamp};

use super::backlog::{
    CHUNK_MAX, Found, Page, Untried, dead, rows, rows_after, untried, untried_row,
};
use super::expire::Frozen;
use super::unreadable::{damaged, lost_event};
use crate::StoreError;
use crate::embedded::core::blocking::blocking;
use crate::embedded::core::events::event;
use crate::embedded::core::inbox::{Command, unknown};
use crate::embedded::core::shared::{Shared, Target};
use crate::embedded::format::record::{
    ActKind, DeadLetterChange, DeadRow, RecordedOutcome, Settled, to_deltas,
};
use crate::embedded::index::queries::Queries as _;
use crate::embedded::index::rows::{Index, IndexError};
use crate::embedded::limits::{OUT_OF_ORDER_MAX, cut};
use crate::embedded::log::reader::Damaged;
use crate::embedded::platform::clock::END_OF_TIME;
use crate::embedded::platform::locks::lock;

/// How often the log is read again because the target read on meanwhile.
const TRIES_MAX: usize = 8;

/// Stops all claims of a target while it exists.
pub(super) struct Still(Arc<Target>);

impl Still {
    pub(super) fn new(target: &Arc<Target>) -> Self {
        lock(&target.live).still = true;
        Self(target.clone())
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        lock(&self.0.live).still = false;
        self.0.woken.notify_waiters();
    }
}

/// The target that gets what waits for another one.
struct Receiver {
    target: Arc<Target>,
    /// Numbers of its deliveries that have a row, ascending.
    rows: Vec<u64>,
}

/// What operators do with the deliveries that wait for a target.
pub(crate) struct Waiting<'a>(pub &'a Arc<Shared>);

impl Waiting<'_> {
    fn known(&self, number: TargetNumber) -> Result<Arc<Target>, StoreError> {
        self.0.target(number.0).ok_or_else(|| unknown(number))
    }

    async fn flush(&self) -> Result<(), StoreError> {
        self.0.ask(|reply| Command::Flush { reply }).await
    }

    async fn give_up(&self, target: &Target, rows: Vec<Settled>) -> Result<u64, StoreError> {
        let target = TargetNumber(target.number);
        self.0.ask(|reply| Command::GiveUp { target, rows, reply }).await
    }

    /// Makes dead letters of what was received before that time.
    pub(crate) async fn skip(
        &self,
        number: TargetNumber,
        before: Timestamp,
        reason: String,
    ) -> Result<u64, StoreError> {
        let target = self.known(number)?;
        let mut skipped =
            crate::embedded::deliveries::expire::expire(self.0, number, before, reason.clone())
                .await?;
        let _alone = target.loading.clone().lock_owned().await;
        let _still = Still::new(&target);
        self.flush().await?;
        let mut from = (0, 0);
        loop {
            let (shared, on) = (self.0.clone(), target.clone());
            let page = blocking(move || rows_after(&shared, &on, from, before)).await?;
            let Page { mut rows, unreadable, next } = page;
            for row in &mut rows {
                row.what = dead(&reason);
            }
            rows.extend(lost(self.0, &target, unreadable));
            if !rows.is_empty() {
                skipped += self.give_up(&target, rows).await?;
            }
            let Some(next) = next else { return Ok(skipped) };
            from = next;
        }
    }

    /// Drops the deliveries of these events.
    pub(crate) async fn drop(
        &self,
        number: TargetNumber,
        events: Vec<EventId>,
        reason: String,
    ) -> Result<u64, StoreError> {
        let target = self.known(number)?;
        let _alone = target.loading.clone().lock_owned().await;
        let _still = Still::new(&target);
        self.flush().await?;
        let (mut dropped, mut lost) = (0, Vec::new());
        for chunk in events.chunks(CHUNK_MAX) {
            let (shared, on, ids) = (self.0.clone(), target.clone(), chunk.to_vec());
            let why = reason.clone();
            let (rows, unreadable) = blocking(move || chosen(&shared, &on, ids, &why)).await?;
            lost.extend(unreadable);
            let asked = rows.len() as u64;
            if rows.is_empty() {
                continue;
            }
            let count = self.give_up(&target, rows).await?;
            dropped += count;
            if count < asked && lock(&target.live).done.len() >= OUT_OF_ORDER_MAX {
                let what = format!("what was dropped out of its order ({dropped} now)");
                return Err(StoreError::TooLarge { what, max: OUT_OF_ORDER_MAX });
            }
        }
        self.flush().await?;
        match lost.is_empty() {
            true => Ok(dropped),
            false => Err(StoreError::NotDropped { dropped, unreadable: lost }),
        }
    }

    /// Drops everything that waits, or moves it to another target.
    pub(crate) async fn empty(
        &self,
        number: TargetNumber,
        to: Option<TargetNumber>,
        reason: String,
    ) -> Result<u64, StoreError> {
        let target = self.known(number)?;
        let other = to.map(|to| self.known(to)).transpose()?;
        if other.as_ref().is_some_and(|other| other.number == number.0) {
            return Ok(0);
        }
        // Always in the same order, so that two moves do not wait for each other.
        let mut both: Vec<_> = other.iter().chain([&target]).collect();
        both.sort_unstable_by_key(|target| target.number);
        let mut alone = Vec::new();
        for target in both {
            alone.push(target.loading.clone().lock_owned().await);
        }
        let (_still, _frozen) = (Still::new(&target), Frozen::new(&target));
        self.flush().await?;
        let mut to = None;
        if let Some(target) = other {
            let (shared, on) = (self.0.clone(), target.number);
            let rows = blocking(move || rows(&shared, on)).await?;
            to = Some(Receiver { target, rows });
        }
        let mut count = self.empty_rows(&target, to.as_mut(), &reason).await?;
        count += self.empty_released(&target, to.as_mut(), &reason).await?;
        count += self.empty_untried(&target, to.as_mut(), &reason).await?;
        self.flush().await?;
        Ok(count)
    }

    /// What waits for a retry, or was parked.
    async fn empty_rows(
        &self,
        target: &Arc<Target>,
        mut to: Option<&mut Receiver>,
        reason: &str,
    ) -> Result<u64, StoreError> {
        let (mut count, mut from) = (0, (0, 0));
        loop {
            let (shared, on, why) = (self.0.clone(), target.clone(), reason.to_owned());
            let page = blocking(move || {
                let mut page = rows_after(&shared, &on, from, END_OF_TIME)?;
                drop_rows(&shared, on.number, &mut page.rows, &why)?;
                Ok(page)
            })
            .await?;
            count += self.end(target, to.as_deref_mut(), page.rows, page.unreadable).await?;
            let Some(next) = page.next else { return Ok(count) };
            from = next;
        }
    }

    /// Ends deliveries after the other target has them. Returns how many; what cannot be read becomes dead letters.
    async fn end(
        &self,
        target: &Target,
        to: Option<&mut Receiver>,
        rows: Vec<Settled>,
        unreadable: Vec<Settled>,
    ) -> Result<u64, StoreError> {
        if !unreadable.is_empty() {
            self.give_up(target, lost(self.0, target, unreadable)).await?;
        }
        if rows.is_empty() {
            return Ok(0);
        }
        let numbers = rows.iter().map(|row| row.number).collect();
        self.hand_over(to, numbers).await?;
        self.give_up(target, rows).await
    }

    /// What was claimed and released without an attempt.
    async fn empty_released(
        &self,
        target: &Arc<Target>,
        to: Option<&mut Receiver>,
        reason: &str,
    ) -> Result<u64, StoreError> {
        let released: Vec<Found> = {
            let live = lock(&target.live);
            let received = |number: &u64| Some((*number, live.open.get(number)?.received));
            live.free.iter().filter_map(received).collect()
        };
        if released.is_empty() {
            return Ok(0);
        }
        let (shared, on, why) = (self.0.clone(), target.clone(), reason.to_owned());
        let (rows, unreadable) = blocking(move || {
            let (mut rows, mut unreadable) = (Vec::new(), Vec::new());
            for row in released.into_iter().map(untried_row) {
                let readable = event(&shared, row.number)?.is_some();
                if readable { &mut rows } else { &mut unreadable }.push(row);
            }
            drop_rows(&shared, on.number, &mut rows, &why)?;
            Ok((rows, unreadable))
        })
        .await?;
        self.end(target, to, rows, unreadable).await
    }

    /// What was never claimed: one record for many of them.
    async fn empty_untried(
        &self,
        target: &Arc<Target>,
        mut to: Option<&mut Receiver>,
        reason: &str,
    ) -> Result<u64, StoreError> {
        let (mut count, mut tries) = (0, 0);
        loop {
            let (shared, on, why) = (self.0.clone(), target.clone(), reason.to_owned());
            let found = blocking(move || untried(&shared, &on, &why)).await?;
            let Some(Untried { range, numbers }) = found else { return Ok(count) };
            let ends = numbers.len() as u64;
            self.hand_over(to.as_deref_mut(), numbers).await?;
            let number = TargetNumber(target.number);
            // Nothing that was released: it was not handed over.
            let before = Timestamp::default();
            let expire = |reply| Command::Expire { target: number, range, before, reply };
            match self.0.ask(expire).await? {
                Some(_) => (count, tries) = (count + ends, 0),
                None if tries >= TRIES_MAX => {
                    return Err(StoreError::Busy { target: target.name.clone() });
                }
                None => tries += 1,
            }
        }
    }

    /// Makes deliveries of the other target, without those that it has already. Durable when it returns.
    async fn hand_over(
        &self,
        to: Option<&mut Receiver>,
        mut numbers: Vec<u64>,
    ) -> Result<(), StoreError> {
        let Some(Receiver { target, rows }) = to else { return Ok(()) };
        numbers.sort_unstable();
        numbers.retain(|number| rows.binary_search(number).is_err());
        for chunk in numbers.chunks(CHUNK_MAX) {
            let (shared, on, all) = (self.0.clone(), target.clone(), chunk.to_vec());
            let new = blocking(move || unknown_to(&shared, &on, all)).await?;
            if new.is_empty() {
                continue;
            }
            rows.extend(&new);
            rows.sort_unstable();
            let replayed = to_deltas(&new);
            let change = DeadLetterChange { replayed, ..DeadLetterChange::default() };
            let (target, what) = (TargetNumber(target.number), ActKind::DeadLetters(change));
            self.0.ask(|reply| Command::Operate { target, what, reply }).await?;
        }
        Ok(())
    }
}

/// Makes drops of these. A dropped range that begins with a number keeps its row.
fn drop_rows(
    shared: &Shared,
    target: u16,
    rows: &mut [Settled],
    reason: &str,
) -> Result<(), StoreError> {
    shared.with_index(|index| {
        for row in rows {
            let range = index.dead_at(target, row.number, true)?.filter(|row| row.to > 0);
            row.what = RecordedOutcome::Dropped(range.unwrap_or_else(|| DeadRow {
                received_ms: row.received_ms,
                count: 1,
                attempts: row.attempts,
                at_ms: shared.clock.wall_ms(),
                reason: cut(reason.to_owned(), REASON_BYTES_MAX),
                to: 0,
                spared: Vec::new(),
            }));
        }
        Ok(())
    })
}

/// Drops of the deliveries of these events, as far as they wait and are not claimed; and the events that cannot be read
/// and wait for their first attempt, if they are the target's.
fn chosen(
    shared: &Shared,
    target: &Target,
    ids: Vec<EventId>,
    reason: &str,
) -> Result<(Vec<Settled>, Vec<EventId>), StoreError> {
    let (mut rows, mut others, mut lost) = (Vec::new(), BTreeSet::new(), Vec::new());
    let mut places: Vec<Damaged> = Vec::new();
    for id in ids.into_iter().collect::<BTreeSet<_>>() {
        let number = id.number();
        match event(shared, number)? {
            Some(event) if event.id == id => {}
            Some(_) => continue,
            None => {
                if !places.iter().any(|place| place.includes(number)) {
                    let Some(place) = damaged(shared, id)? else { continue };
                    places.push(place);
                }
                if lock(&target.live).is_open(number) {
                    lost.push(id);
                } else {
                    // If it has a row, it is the target's.
                    others.insert(number);
                }
                continue;
            }
        }
        let is_open = lock(&target.live).is_open(number);
        let is_planned = |index: &dyn Index| shared.is_planned(index, number, target.number);
        if is_open && shared.with_index_and_log(is_planned)? {
            rows.push(untried_row((number, id.received_at())));
        } else {
            others.insert(number);
        }
    }
    let mut next = (!others.is_empty()).then_some((0, 0));
    while let Some(from) = next {
        let page = rows_after(shared, target, from, END_OF_TIME)?;
        let all = page.rows.into_iter().chain(page.unreadable);
        rows.extend(all.filter(|row| others.contains(&row.number)));
        next = page.next;
    }
    drop_rows(shared, target.number, &mut rows, reason)?;
    Ok((rows, lost))
}

/// Those of these events that the target does not have: not routed to it, or dropped, and without a row.
fn unknown_to(shared: &Shared, target: &Target, numbers: Vec<u64>) -> Result<Vec<u64>, StoreError> {
    let at = target.number;
    let is_unknown = |index: &dyn Index, number| -> Result<bool, StoreError> {
        let planned = shared.is_planned(index, number, at)?;
        let is_dead = |dropped| -> Result<bool, IndexError> {
            let single = index.dead_at(at, number, dropped)?.is_some_and(|row| row.to == 0);
            let within = || index.dead_within(at, number, dropped);
            Ok(single || (planned && within()?.is_some()))
        };
        let open = planned && lock(&target.live).is_open(number);
        if open || is_dead(false)? || index.outcome(at, number)?.is_some() {
            return Ok(false);
        }
        Ok(!planned || is_dead(true)?)
    };
    shared.with_index_and_log(|index| {
        let mut unknown = Vec::new();
        for number in numbers {
            if is_unknown(index, number)? {
                unknown.push(number);
            }
        }
        Ok(unknown)
    })
}

/// Dead letters for rows whose events cannot be read.
fn lost(shared: &Shared, target: &Target, mut rows: Vec<Settled>) -> Vec<Settled> {
    for row in &mut rows {
        row.what = dead(&lost_event(shared, target, row.number));
    }
    rows
}
