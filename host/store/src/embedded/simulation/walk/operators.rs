//! What operators do: hold, expire, skip, replay, drop dead letters. Afterwards the store is asked what
//! became of each delivery: it must be what the act may do.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::{DeadLetter, Fate, Hold, HoldKind, Queue, StoreError};
use dispatcher_model::{EventId, TargetNumber};

use super::model::{Delivery, Label, Presence, Status};
use super::walk::{Done, Walk};

/// An act and what it may change.
pub(super) struct Act {
    pub what: &'static str,
    pub target: TargetNumber,
    pub candidates: Vec<Label>,
    pub becomes: Status,
}

/// A list of dead letters.
#[derive(Default)]
struct Letters {
    list: Vec<DeadLetter>,
    /// Everything that was answered before is in it.
    is_fresh: bool,
}

impl Letters {
    /// How many deliveries these are; `None` if the list cannot say.
    fn count(&self, ids: &[EventId]) -> Option<u64> {
        let count = |id| self.list.iter().find(|letter| letter.event == id).map(|l| l.count);
        let ids: BTreeSet<EventId> = ids.iter().copied().collect();
        ids.into_iter().map(count).sum::<Option<u64>>().filter(|_| self.is_fresh)
    }
}

impl Walk {
    pub(super) fn hold(&mut self, target: TargetNumber) -> Done {
        let held = self.model.held.contains_key(&target.0);
        let hold =
            Hold { kind: HoldKind::Paused, reason: "a rest".into(), since: self.time.wall() };
        let hold = (!held).then_some(hold);
        let store = self.store();
        self.note(format!("hold {target:?} {}", !held));
        match self.ask(store.hold(target, hold.clone())) {
            Some(Ok(())) if store.held(target) == hold => self.model.all_durable(),
            Some(Ok(())) => return Err("the store has another hold than was set".into()),
            Some(Err(_)) if self.has_met_faults() => {
                self.unsure = true;
                self.model.holds_unsure.insert(target.0);
            }
            Some(Err(error)) => return Err(format!("hold: {error}")),
            None => return Err("hold is not answered".into()),
        }
        match hold {
            Some(hold) => drop(self.model.held.insert(target.0, hold)),
            None => drop(self.model.held.remove(&target.0)),
        }
        Ok(())
    }

    pub(super) fn labels(
        &self,
        target: TargetNumber,
        wanted: impl Fn(&Delivery) -> bool,
    ) -> Vec<Label> {
        self.model.of(target.0).filter(|(_, d)| wanted(d)).map(|(label, _)| label).collect()
    }

    pub(super) fn expire(&mut self, target: TargetNumber) -> Done {
        let back = Duration::from_millis(self.random.u64(..7_200_000));
        let before =
            if self.random.bool() { self.time.wall().plus(back) } else { self.time.wall() };
        let steady_ms = self.steady_ms();
        let mut candidates = self.labels(target, |delivery| {
            delivery.status == Status::Open && !delivery.is_leased(steady_ms)
        });
        let old = |label: &Label| self.model.events[*label].received_ms < before.as_millis();
        candidates.retain(&old);
        let all_old = self.model.of(target.0).all(|(label, _)| old(&label));
        let store = self.store();
        let answer = self.ask(store.expire(target, before, "old".into()));
        if matches!(answer, Some(Ok(1..))) && all_old {
            // Only deliveries that are leased or have a row are left.
            let depth = store.depth(target);
            if depth.pending != depth.in_flight + depth.retrying {
                return Err(format!("expire left {depth:?} of {target:?}"));
            }
        }
        self.acted(Act { what: "expire", target, candidates, becomes: Status::Dead }, answer)
    }

    pub(super) fn skip(&mut self, target: TargetNumber) -> Done {
        let before = self.time.wall().plus(Duration::from_secs(1));
        let steady_ms = self.steady_ms();
        let candidates = self.labels(target, |delivery| {
            delivery.status == Status::Open && !delivery.is_leased(steady_ms)
        });
        let all_old = self
            .model
            .of(target.0)
            .all(|(label, _)| self.model.events[label].received_ms < before.as_millis());
        let store = self.store();
        let answer = self.ask(store.skip(target, before, "unwanted".into()));
        if matches!(answer, Some(Ok(_))) && all_old {
            // Only deliveries that are leased are left.
            let depth = store.depth(target);
            if depth.pending != depth.in_flight {
                return Err(format!("skip left {depth:?} of {target:?}"));
            }
        }
        self.acted(Act { what: "skip", target, candidates, becomes: Status::Dead }, answer)
    }

    pub(super) fn replay(&mut self, target: TargetNumber) -> Done {
        let mut chosen = self.labels(target, |delivery| delivery.status != Status::Open);
        let letters =
            if self.random.u8(..4) == 0 { self.letters(target)? } else { Letters::default() };
        let in_list: Vec<Label> =
            letters.list.iter().filter_map(|letter| self.model.label(letter.event)).collect();
        if !in_list.is_empty() {
            chosen = in_list;
        }
        self.random.shuffle(&mut chosen);
        chosen.truncate(self.random.usize(1..6));
        if self.random.u8(..4) == 0 && !self.model.events.is_empty() {
            // An event that perhaps was never for this target.
            let label = self.random.usize(..self.model.events.len());
            if self.model.id(label).is_some() {
                let never = || Delivery {
                    status: Status::Dropped,
                    durable: Status::Dropped,
                    ..Delivery::new()
                };
                self.model.deliveries.entry((target.0, label)).or_insert_with(never);
                chosen.push(label);
            }
        }
        let ids: Vec<EventId> = chosen.iter().filter_map(|label| self.model.id(*label)).collect();
        if ids.is_empty() {
            return Ok(());
        }
        // A range of dead letters, named by its first one, is replayed whole.
        let candidates = self.labels(target, |delivery| delivery.status != Status::Open);
        let candidates = candidates
            .into_iter()
            .filter(|label| {
                chosen.contains(label)
                    || self.model.deliveries[&(target.0, *label)].status == Status::Dead
            })
            .collect();
        let listed = letters.count(&ids);
        let store = self.store();
        self.note(format!("replay of {chosen:?}"));
        let before = store.depth(target);
        let answer = self.ask(store.replay(target, ids));
        if let (Some(Ok(count)), Some(listed)) = (&answer, listed)
            && self.start() == 0
        {
            let after = store.depth(target);
            let (dead, pending) = (before.dead - count, before.pending + count);
            if *count != listed || (after.dead, after.pending) != (dead, pending) {
                return Err(format!(
                    "replay of {listed} answered {count}; {before:?} became {after:?}"
                ));
            }
        }
        self.acted(Act { what: "replay", target, candidates, becomes: Status::Open }, answer)
    }

    pub(super) fn drop_dead(&mut self, target: TargetNumber) -> Done {
        let letters = self.letters(target)?;
        let mut ids: Vec<EventId> = letters.list.iter().map(|letter| letter.event).collect();
        self.random.shuffle(&mut ids);
        ids.truncate(self.random.usize(1..4));
        if ids.is_empty() {
            return Ok(());
        }
        let candidates = self.labels(target, |delivery| delivery.status == Status::Dead);
        let store = self.store();
        let (listed, before) = (letters.count(&ids), store.depth(target));
        let answer = self.ask(store.drop_dead(target, ids));
        if let (Some(Ok(count)), Some(listed)) = (&answer, listed) {
            let after = store.depth(target);
            let same = (after.dead, after.pending) == (before.dead - count, before.pending);
            if *count != listed || !same {
                return Err(format!(
                    "drop of {listed} answered {count}; {before:?} became {after:?}"
                ));
            }
        }
        self.acted(Act { what: "drop", target, candidates, becomes: Status::Dropped }, answer)
    }

    /// Some of the dead letters, as the index has them.
    fn letters(&mut self, target: TargetNumber) -> Done<Letters> {
        let (store, is_fresh) = (self.store(), self.random.bool());
        let read = async {
            if is_fresh {
                store.flush().await?;
            }
            store.dead_letters(target, None, 20).await
        };
        match self.ask(read) {
            Some(Ok(list)) => Ok(Letters { list, is_fresh }),
            Some(Err(_)) if is_fresh && self.has_met_faults() => Ok(Letters::default()),
            other => Err(format!("dead letters: {other:?}")),
        }
    }

    /// Compares what the act answered with what became of each delivery.
    pub(super) fn acted(&mut self, act: Act, answer: Option<Result<u64, StoreError>>) -> Done {
        let Act { what, target, candidates, becomes } = act;
        let count = match answer {
            Some(Ok(count)) => count,
            Some(Err(error)) if self.has_met_faults() => {
                self.note(format!("{what} {target:?}: {error}"));
                self.unsure = true;
                for label in candidates {
                    if let Some(delivery) = self.model.deliveries.get_mut(&(target.0, label)) {
                        delivery.since.push((self.step, becomes));
                    }
                }
                return Ok(());
            }
            Some(Err(error)) => return Err(format!("{what}: {error}")),
            None => return Err(format!("{what} is not answered")),
        };
        let (mut changed, mut asked, mut unknown) = (0, false, false);
        let mut folded = self.model.folded.contains_key(&target.0);
        for label in candidates {
            let Some(fate) = self.fate(target.0, label)? else {
                // The disk has failed since then: the next start shows it.
                unknown |= self.unsure;
                if let Some(delivery) = self.model.deliveries.get_mut(&(target.0, label)) {
                    delivery.since.extend(self.unsure.then_some((self.step, becomes)));
                }
                continue;
            };
            asked = true;
            let planned = self.model.events[label].targets.contains(&target.0);
            let passes_for = if planned { Status::Delivered } else { Status::Dropped };
            let may_be_folded = self.is_moved(label) || !planned;
            let delivery = self.model.deliveries.get_mut(&(target.0, label));
            let Some(delivery) = delivery else { continue };
            let before = delivery.status;
            let now = status(&fate);
            if may_be_folded && before == Status::Dead && now == passes_for {
                // Its dead letter became part of a range when its segment was to be removed.
                folded |= now != becomes;
                changed += u64::from(now == becomes);
                *delivery = Delivery { status: Status::Dropped, ..Delivery::new() };
                continue;
            }
            if now != before && now != becomes {
                return Err(format!("{what} made event {label} {now:?}, which was {before:?}"));
            }
            if now != before {
                changed += 1;
                *delivery = Delivery { status: now, ..Delivery::new() };
                delivery.row = true;
                // A replayed one is due when the replay was recorded.
                delivery.due_ms = None;
            }
        }
        self.note(format!("{what} {target:?} -> {count}"));
        // The fate of dead letters whose events are gone cannot be asked one by one.
        let gone = self.model.of(target.0).any(|(label, delivery)| {
            self.model.events[label].presence == Presence::Gone && delivery.status == Status::Dead
        });
        if changed != count && !gone && !folded && !unknown {
            return Err(format!("{what} answered {count}, but changed {changed}"));
        }
        // Asking for a fate makes everything before it durable. An act without effect writes nothing.
        if asked && (!self.has_met_faults() || !self.unsure) {
            self.model.all_durable();
        }
        Ok(())
    }

    /// What became of a delivery; `None` while the disk fails.
    pub(super) fn fate(&mut self, target: u16, label: Label) -> Done<Option<Fate>> {
        if self.model.events[label].presence != Presence::Stored {
            return Ok(None);
        }
        let id = self.model.id(label).ok_or("an event without an id")?;
        let store = self.store();
        let read = async {
            store.flush().await?;
            store.fate(id).await
        };
        match self.ask(read) {
            Some(Ok(Some(fate))) => {
                let of = fate.fates.into_iter().find(|(number, _)| number.0 == target);
                of.map(|(_, fate)| Some(fate)).ok_or_else(|| "a target has no fate".into())
            }
            Some(Ok(None)) => Err(format!("event {label}, {id:?}, is not found")),
            Some(Err(_)) if self.has_met_faults() => {
                self.unsure = true;
                Ok(None)
            }
            Some(Err(error)) => Err(format!("fate of {label}: {error}")),
            None => Err("fate is not answered".into()),
        }
    }
}

pub(super) fn status(fate: &Fate) -> Status {
    match fate {
        Fate::Waiting | Fate::Again { .. } | Fate::Retrying { .. } => Status::Open,
        Fate::Delivered { .. } => Status::Delivered,
        Fate::Dead { dropped: false, .. } => Status::Dead,
        // Not routed, and not replayed either.
        Fate::Dead { dropped: true, .. } | Fate::NotRouted { .. } => Status::Dropped,
    }
}
