//! What targets do: claim, settle, send digests, extend leases; and what must be true of the
//! deliveries that they get.

use std::time::Duration;

use crate::{Outcome, Queue, Settlement};
use dispatcher_model::{Receipt, TargetNumber, Timestamp};

use super::model::{Delivery, Label, Model, Status, Window};
use super::walk::{Done, Walk};

const HOUR_MS: u64 = 3_600_000;

impl Walk {
    pub(super) fn claim(&mut self, target: TargetNumber) -> Done {
        let (max, lease_ms) = (self.random.usize(1..8), self.random.u64(1_000..2 * HOUR_MS));
        let (untried, glance) = (self.random.u8(..5) == 0, self.random.u8(..4) == 0);
        let lease = Duration::from_millis(lease_ms);
        let may_wait = untried || self.is_without_index || self.nothing_to_claim(target).is_ok();
        let store = self.store();
        let asked = if untried {
            store.claim_untried(target, max, lease)
        } else {
            store.claim(target, max, lease)
        };
        let given =
            if glance { self.running().glance(asked) } else { self.ask_claim(asked, may_wait) };
        match given {
            None if glance => self.note(format!("glance {target:?} -> nothing")),
            None => {
                self.note(format!("claim {target:?} -> nothing"));
                if !untried && !self.is_without_index {
                    self.nothing_to_claim(target)?;
                }
            }
            Some(Ok(given)) if given.len() > max => {
                return Err("more deliveries than asked for".into());
            }
            Some(Ok(given)) => {
                let labels = self.given(target, &given, lease_ms, untried)?;
                self.note(format!("claim {target:?} untried {untried} -> {labels:?}"));
            }
            Some(Err(error)) if self.disk.faults().off => {
                self.note(format!("claim {target:?}: {error}"));
            }
            Some(Err(error)) => return Err(format!("claim: {error}")),
        }
        Ok(())
    }

    /// `None`: there is nothing to claim. Threads get time to answer only if there must be something.
    pub(super) fn ask_claim<T>(
        &mut self,
        asked: impl Future<Output = T>,
        may_wait: bool,
    ) -> Option<T> {
        if self.running().has_threads() && may_wait {
            self.running().glance(asked)
        } else {
            self.ask(asked)
        }
    }

    fn nothing_to_claim(&self, target: TargetNumber) -> Done {
        if self.model.held.contains_key(&target.0) {
            return Ok(());
        }
        let (steady_ms, seen_ms) = (self.steady_ms(), self.seen_ms());
        let stuck = self.model.of(target.0).find(|(_, delivery)| {
            // A row that is not durable yet cannot be claimed; it will be within a second.
            let on_disk = !delivery.row || delivery.since.is_empty();
            delivery.status == Status::Open
                && on_disk
                && !delivery.is_leased(steady_ms)
                && delivery.due_ms.is_some_and(|due| due <= seen_ms)
        });
        stuck.map_or(Ok(()), |(label, d)| {
            Err(format!("event {label} waits but cannot be claimed: {d:?}"))
        })
    }

    /// A claimed delivery is an event that was appended, is open, due and not leased.
    pub(super) fn given(
        &mut self,
        target: TargetNumber,
        given: &[dispatcher_model::Delivery],
        lease_ms: u64,
        untried: bool,
    ) -> Done<Vec<Label>> {
        let (steady_ms, seen_ms) = (self.steady_ms(), self.seen_ms());
        if self.model.held.contains_key(&target.0) {
            return Err(format!("{target:?} is held, but got {} deliveries", given.len()));
        }
        let mut labels = Vec::new();
        for one in given {
            let label = Model::label_of(&one.event.data).ok_or("a body that is not an event's")?;
            let event = self.model.events.get(label).ok_or("an event that was never appended")?;
            if *one.event.data != *event.text.as_bytes() || event.id != Some(one.event.id) {
                return Err(format!(
                    "event {label} was claimed with another body or id: {:?}",
                    one.event.id
                ));
            }
            let delivery = self.model.deliveries.get_mut(&(target.0, label));
            let delivery =
                delivery.ok_or_else(|| format!("event {label} was never for {target:?}"))?;
            let attempt = one.attempt;
            let wrong = if delivery.status != Status::Open {
                "it has ended"
            } else if delivery.is_leased(steady_ms) {
                "it is leased"
            } else if delivery.due_ms.is_some_and(|due| due > seen_ms) {
                "it is not due"
            } else if delivery.attempts.is_some_and(|attempts| attempts + 1 != attempt) {
                "its number of attempts is another"
            } else if delivery.progress.as_ref().is_some_and(|p| *p != one.progress) {
                "its progress is another"
            } else if untried && delivery.attempts.is_some_and(|attempts| attempts > 0) {
                "it was attempted before"
            } else {
                delivery.lease_ms = Some(steady_ms + lease_ms);
                delivery.attempts = Some(one.attempt - 1);
                labels.push(label);
                continue;
            };
            return Err(format!(
                "{target:?} got event {label}, attempt {attempt}, but {wrong}: {delivery:?}"
            ));
        }
        Ok(labels)
    }

    /// Some of the deliveries that the target has leased, in any order.
    fn leased(&mut self, target: TargetNumber, max: usize) -> Vec<Label> {
        let steady_ms = self.steady_ms();
        let held = self.model.of(target.0).filter(|(_, d)| d.is_leased(steady_ms));
        let mut held: Vec<Label> = held.map(|(label, _)| label).collect();
        self.random.shuffle(&mut held);
        if !held.is_empty() {
            held.truncate(self.random.usize(1..=held.len().min(max)));
        }
        held
    }

    fn outcome(&mut self, delivery: &Delivery) -> Outcome {
        let progress = (0..self.random.usize(..4)).map(|_| self.random.u8(..)).collect();
        let later = Duration::from_millis(self.random.u64(1..3 * HOUR_MS));
        let at = self.store().now().plus(later);
        match self.random.u8(..12) {
            0..5 => Outcome::Delivered { receipt: Receipt::default() },
            5 => {
                let fields = vec![("n".to_owned(), self.random.u8(..).to_string())];
                Outcome::Delivered { receipt: Receipt { id: Some("r".into()), fields } }
            }
            6 | 7 => Outcome::Retry { at, reason: "later".into(), progress },
            8 => Outcome::Dead { reason: "no".into() },
            9 if delivery.attempts == Some(0) => Outcome::Wait { until: at },
            _ => Outcome::Release,
        }
    }

    fn settled(&mut self, target: TargetNumber, label: Label, outcome: &Outcome) {
        let (step, seen_ms) = (self.step, self.seen_ms());
        let Some(delivery) = self.model.deliveries.get_mut(&(target.0, label)) else { return };
        match outcome {
            Outcome::Delivered { .. } => delivery.becomes(step, Status::Delivered),
            Outcome::Dead { .. } => delivery.becomes(step, Status::Dead),
            Outcome::Retry { at, progress, .. } => {
                delivery.becomes(step, Status::Open);
                delivery.attempts = delivery.attempts.map(|attempts| attempts + 1);
                delivery.due_ms = Some(at.as_millis());
                delivery.progress = Some(progress.clone());
                delivery.row = true;
            }
            Outcome::Wait { until } => {
                delivery.becomes(step, Status::Open);
                delivery.due_ms = Some(until.as_millis());
                delivery.progress = Some(Vec::new());
                delivery.row = true;
            }
            Outcome::Release => {
                delivery.lease_ms = None;
                if delivery.attempts == Some(0) {
                    delivery.due_ms = delivery.due_ms.map(|due| due.min(seen_ms));
                }
            }
        }
    }

    pub(super) fn settle(&mut self, target: TargetNumber) -> Done {
        let held = self.leased(target, 6);
        if held.is_empty() {
            return Ok(());
        }
        let mut outcomes = Vec::new();
        for label in held {
            let delivery = self.model.deliveries[&(target.0, label)].clone();
            let outcome = self.outcome(&delivery);
            self.note(format!("settle {target:?} {label} {outcome:?}"));
            self.settled(target, label, &outcome);
            let event = self.model.id(label).ok_or("a leased event is not stored")?;
            outcomes.push(Settlement { event, outcome });
        }
        let store = self.store();
        self.ask_settled(store.settle(target, outcomes))
    }

    fn ask_settled(&mut self, asked: crate::BoxFuture<'_, Result<(), crate::StoreError>>) -> Done {
        match self.ask(asked) {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(format!("settle: {error}")),
            None => Err("settle is not answered".into()),
        }
    }

    /// Settles several deliveries as one digest, which opens a window.
    pub(super) fn digest(&mut self, target: TargetNumber) -> Done {
        let held = self.leased(target, 20);
        if held.is_empty() {
            return Ok(());
        }
        let outcome = match self.random.u8(..4) {
            0 => Outcome::Dead { reason: "no".repeat(self.random.usize(1..150)) },
            1 => {
                let id = Some("m".repeat(self.random.usize(1..300)));
                Outcome::Delivered { receipt: Receipt { id, fields: vec![] } }
            }
            _ => Outcome::Delivered { receipt: Receipt::default() },
        };
        let mut outcomes = Vec::new();
        for label in &held {
            self.settled(target, *label, &outcome);
            let event = self.model.id(*label).ok_or("a leased event is not stored")?;
            outcomes.push(Settlement { event, outcome: outcome.clone() });
        }
        let until_ms = self.seen_ms() + self.random.u64(1..4 * HOUR_MS);
        let (group, until) = (self.step, Timestamp::from_millis(until_ms));
        let window = Window { target: target.0, group, until_ms, step: self.step, durable: false };
        self.model.windows.push(window);
        self.model.digests.insert(self.step);
        self.note(format!("digest {target:?} {held:?} {outcome:?}"));
        let store = self.store();
        self.ask_settled(store.settle_digest(target, outcomes, crate::Window { group, until }))
    }

    pub(super) fn extend(&mut self, target: TargetNumber) -> Done {
        let held = self.leased(target, 6);
        let lease_ms = self.random.u64(1_000..2 * HOUR_MS);
        let ids = held.iter().filter_map(|label| self.model.id(*label)).collect();
        self.store().extend(target, ids, Duration::from_millis(lease_ms));
        let until = self.steady_ms() + lease_ms;
        for label in &held {
            if let Some(delivery) = self.model.deliveries.get_mut(&(target.0, *label)) {
                delivery.lease_ms = Some(until);
            }
        }
        self.note(format!("extend {target:?} {held:?}"));
        Ok(())
    }
}
