//! What must hold between any two steps, and when the store is open again after an end.

use std::collections::BTreeSet;

use crate::embedded::index::rows::hour_of;
use crate::{Fate, Queue};
use dispatcher_model::TargetNumber;

use super::model::{Label, Presence, Status};
use super::operators::status;
use super::walk::{Done, Walk};

impl Walk {
    fn ahead(&self) -> Done {
        self.index_place.ran_ahead().map_or(Ok(()), Err)
    }

    /// What must hold between any two steps.
    pub(super) fn check_live(&self) -> Done {
        self.ahead()?;
        self.check_depths()
    }

    fn check_depths(&self) -> Done {
        let (store, steady_ms) = (self.store(), self.steady_ms());
        for (_, target) in &self.model.targets {
            let depth = store.depth(*target);
            let of = |status| self.model.count(target.0, status);
            let (open, dead) = (of(Status::Open), of(Status::Dead));
            // Dead letters whose events are gone may still be listed, or not.
            let listed = self.model.of(target.0).filter(|(label, delivery)| {
                let gone = self.model.events[*label].presence == Presence::Gone;
                delivery.status == Status::Dead && !gone
            });
            let dead_min = listed.count() as u64;
            let dead = dead + self.model.folded.get(&target.0).copied().unwrap_or(0);
            if depth.pending != open || !(dead_min..=dead).contains(&depth.dead) {
                return Err(format!(
                    "{target:?} has {depth:?}, but {open} deliveries are open and {dead} dead"
                ));
            }
            let leased = self.model.of(target.0).filter(|(_, d)| d.is_leased(steady_ms)).count();
            if depth.in_flight < leased as u64 || depth.in_flight + depth.retrying > depth.pending {
                return Err(format!(
                    "{target:?} has {depth:?}, but {leased} deliveries are leased"
                ));
            }
        }
        Ok(())
    }

    /// What must hold when the store is open again.
    pub(super) fn check_open(&mut self, rebuilt: bool) -> Done {
        self.ahead()?;
        self.check_registry()?;
        self.check_log()?;
        self.check_holds()?;
        let (kept, lost) = self.resolve()?;
        self.check_windows(&kept, &lost)?;
        self.model.all_durable();
        self.check_depths()?;
        if rebuilt || self.random.bool() { self.check_rebuild() } else { Ok(()) }
    }

    fn check_registry(&mut self) -> Done {
        let names = self.model.targets.iter().map(|(name, _)| name.as_str().into()).collect();
        let store = self.store();
        let numbers = self.must("register", store.register(names))?;
        let known: Vec<TargetNumber> = self.model.targets.iter().map(|(_, n)| *n).collect();
        if numbers == known { Ok(()) } else { Err(format!("targets {known:?} became {numbers:?}")) }
    }

    /// A hold that was acknowledged is there; one that was not may be there or not.
    fn check_holds(&mut self) -> Done {
        let store = self.store();
        for (_, target) in &self.model.targets {
            let (held, unsure) = (store.held(*target), self.model.holds_unsure.remove(&target.0));
            if held.as_ref() != self.model.held.get(&target.0) && !unsure {
                let before = self.model.held.get(&target.0);
                return Err(format!("{target:?} has the hold {held:?}, but had {before:?}"));
            }
            match held {
                Some(hold) => drop(self.model.held.insert(target.0, hold)),
                None => drop(self.model.held.remove(&target.0)),
            }
        }
        Ok(())
    }

    /// Asks what became of every delivery whose newest status may not be durable. The first steps
    /// survived, and a digest survived whole or not at all. Returns the steps that did and that did not.
    fn resolve(&mut self) -> Done<(BTreeSet<u64>, BTreeSet<u64>)> {
        let unsure: Vec<(u16, Label)> = self
            .model
            .deliveries
            .iter()
            .filter(|(_, delivery)| !delivery.since.is_empty())
            .map(|(key, _)| *key)
            .collect();
        let (mut kept, mut lost) = (BTreeSet::new(), BTreeSet::new());
        let (seen_ms, wall_ms) = (self.seen_ms(), self.wall_ms());
        for (target, label) in unsure {
            let Some(fate) = self.fate(target, label)? else { continue };
            let now = status(&fate);
            self.model.fold((target, label), now);
            let Some(delivery) = self.model.deliveries.get_mut(&(target, label)) else { continue };
            let since = std::mem::take(&mut delivery.since);
            if self.keeps_all && now != delivery.status {
                return Err(format!("event {label} was {delivery:?} for {target}, but is {now:?}"));
            }
            if now != delivery.durable && since.iter().all(|(_, status)| *status != now) {
                return Err(format!(
                    "event {label} is {now:?} for target {target}, expected: {delivery:?} {since:?}"
                ));
            }
            if let [(step, said)] = since[..]
                && said != delivery.durable
            {
                if now == said {
                    kept.insert(step)
                } else {
                    lost.insert(step)
                };
            }
            if now == Status::Open {
                let retrying = if let Fate::Retrying { attempts, at, .. } = &fate {
                    Some((*attempts, at.as_millis()))
                } else {
                    None
                };
                delivery.attempts = Some(retrying.map_or(0, |(attempts, _)| attempts));
                // It is shown by the wall clock.
                delivery.due_ms = retrying.map(|(_, due)| due + seen_ms - wall_ms);
                delivery.progress = None;
                delivery.row = true;
            }
            delivery.status = now;
        }
        for (from, to, label) in std::mem::take(&mut self.model.moves) {
            self.is_in_one_place((from, label), (to, label))?;
        }
        if let (Some(last), Some(first)) = (kept.last(), lost.first())
            && last > first
        {
            return Err(format!("step {last} survived, but not step {first} before it"));
        }
        match kept.intersection(&lost).find(|step| self.model.digests.contains(step)) {
            Some(step) => Err(format!("only a part of the digest of step {step} survived")),
            None => Ok((kept, lost)),
        }
    }

    fn check_windows(&mut self, kept: &BTreeSet<u64>, lost: &BTreeSet<u64>) -> Done {
        let (now_ms, hours_from) = (self.seen_ms(), self.hours_known());
        let mut windows = std::mem::take(&mut self.model.windows);
        let recent = |until_ms: u64| until_ms > now_ms && hour_of(until_ms) >= hours_from;
        windows.retain(|window| recent(window.until_ms));
        for target in self.model.targets.clone() {
            let store = self.store();
            // As they were recorded: where the clock was set they end later.
            let rows = store.shared.with_index(|index| index.windows(target.1.0, now_ms));
            let there = rows.map_err(|error| format!("windows: {error}"))?;
            for window in windows.iter_mut().filter(|window| window.target == target.1.0) {
                let found = there
                    .iter()
                    .any(|(group, row)| (*group, row.until_ms) == (window.group, window.until_ms));
                // A rebuilt index does not know the windows of removed segments.
                let whole = self.start() == 0;
                let must =
                    whole && (self.keeps_all || window.durable || kept.contains(&window.step));
                if must && !found {
                    return Err(format!("the window of step {} is lost", window.step));
                }
                if found && lost.contains(&window.step) {
                    return Err(format!("only the window of step {} survived", window.step));
                }
                window.durable = found;
            }
        }
        windows.retain(|window| window.durable);
        self.model.windows = windows;
        Ok(())
    }
}
