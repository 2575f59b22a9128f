//! What senders and targets do: append, claim, settle, digests, leases; and what is right of the
//! answers.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::contract::planned;
use crate::embedded::format::event_number::lsn_of;
use crate::embedded::index::rows::hour_of;
use crate::embedded::limits::DEDUP_MS;
use crate::{AppendError, Durable, NewRequest, Outcome, Queue, Settlement};
use dispatcher_model::{Dedup, EventId, Planned, Receipt, TargetNumber, Timestamp};

use crate::embedded::simulation::model::{
    Delivery, Event, LABEL_BYTES, Label, Model, Presence, Status, Window,
};
use crate::embedded::simulation::walk::{Done, Walk};

const HOUR_MS: u64 = 3_600_000;
const TARGETS_MAX: usize = 6;

impl Walk {
    fn new_event(&mut self, request: u64) -> (Label, Planned) {
        let label = self.model.events.len();
        let size = match self.random.u8(..40) {
            0 => 3_000,
            1..6 => self.random.usize(..1_500),
            _ => self.random.usize(..60),
        };
        let text = format!("{label:0LABEL_BYTES$}{}", ".".repeat(size));
        let mut targets = BTreeSet::new();
        for (_, target) in self.model.targets.clone() {
            // The last one of them gets little.
            let rare = usize::from(target.0) + 1 == self.model.targets.len();
            if if rare { self.random.u8(..12) == 0 } else { self.random.bool() } {
                targets.insert(target.0);
            }
        }
        let list: Vec<TargetNumber> = targets.iter().map(|t| TargetNumber(*t)).collect();
        let mut planned = planned(text.clone(), &list);
        let mut key = None;
        if self.random.u8(..3) == 0 {
            let content = u64::from(self.random.u8(..8) == 0);
            key = Some((format!("k{}", self.random.u8(..16)), content));
        }
        planned.event.dedup = key.clone().map(|(key, content)| Dedup { key, content });
        let received_ms = self.wall_ms();
        let (presence, id) = (Presence::Maybe, None);
        let event = Event { text, targets, key, received_ms, request, presence, id };
        self.model.events.push(event);
        (label, planned)
    }

    fn request(&mut self, number: u64) -> (Vec<Label>, NewRequest) {
        let count = if self.random.u8(..3) == 0 { self.random.usize(2..7) } else { 1 };
        let (labels, events) = (0..count).map(|_| self.new_event(number)).unzip();
        let mut request = crate::contract::request(events);
        request.received_at = self.time.wall();
        request.verified_at = request.received_at;
        (labels, request)
    }

    /// One to three senders at once.
    pub(super) fn append(&mut self) -> Done {
        let count = if self.random.u8(..4) == 0 { self.random.u64(2..4) } else { 1 };
        let requests: Vec<_> = (0..count).map(|i| self.request(self.step * 4 + i)).collect();
        let (labels, requests): (Vec<_>, Vec<_>) = requests.into_iter().unzip();
        let store = self.store();
        let asked = requests.into_iter().map(|request| store.append(request) as _).collect();
        let running = self.running.as_mut().ok_or("no store is open")?;
        let answers: Vec<Option<Result<Durable, AppendError>>> = running.all(asked);
        for (labels, answer) in labels.into_iter().zip(answers) {
            match answer {
                Some(Ok(durable)) => self.appended(&labels, &durable)?,
                Some(Err(AppendError::Disk(_) | AppendError::Full { .. }))
                    if self.has_met_faults() || self.settings.retention_bytes.is_some() =>
                {
                    self.note(format!("append {labels:?} is refused"));
                }
                Some(Err(AppendError::TooLarge { .. })) => {
                    self.note(format!("append {labels:?} is too large"));
                    for label in labels {
                        self.model.events[label].presence = Presence::Absent;
                    }
                }
                Some(Err(error)) => return Err(format!("append {labels:?}: {error}")),
                None => return Err(format!("append {labels:?} is never answered")),
            }
        }
        Ok(())
    }

    /// Whether a refusal is no wonder. Faults that strike once may have struck long ago: what the disk
    /// refused then is told when it is met.
    pub(super) fn has_met_faults(&self) -> bool {
        self.has_faults() || self.disk.faults_met() > 0
    }

    fn appended(&mut self, labels: &[Label], durable: &Durable) -> Done {
        self.note(format!(
            "append {labels:?} -> {} again {:?}",
            durable.duplicates(),
            durable.ids()
        ));
        if durable.ids().len() != labels.len() {
            return Err("an id an event".into());
        }
        let mut again = 0;
        for (&label, &id) in labels.iter().zip(durable.ids()) {
            again += usize::from(self.one_appended(label, id)?);
        }
        if again != durable.duplicates() {
            return Err(format!(
                "{again} events are repeated, {} are said to be",
                durable.duplicates()
            ));
        }
        if again < labels.len() {
            self.model.all_durable();
        }
        Ok(())
    }

    /// Whether it repeats another.
    fn one_appended(&mut self, label: Label, id: EventId) -> Done<bool> {
        let new = self.model.events[label].clone();
        if let Some(first) = self.model.label(id) {
            let old = &self.model.events[first];
            let in_time = new.received_ms < old.received_ms + DEDUP_MS;
            if new.key.is_none() || old.key != new.key || !in_time {
                return Err(format!("event {label} is taken for event {first}"));
            }
            self.model.events[label].presence = Presence::Absent;
            return Ok(true);
        }
        let Some((key, content)) = &new.key else {
            self.model.store(label, id)?;
            return Ok(false);
        };
        let same = |event: &&Event| event.key.as_ref().is_some_and(|(other, _)| other == key);
        let before = self.model.events[..label].iter().filter(same);
        let before: Vec<&Event> =
            before.filter(|event| event.presence != Presence::Absent).collect();
        let newest = before.iter().max_by_key(|event| event.id.map(EventId::number));
        let latest_ms = before.iter().map(|event| event.received_ms).max();
        if let Some(newest) = newest
            && before.iter().all(|event| event.presence == Presence::Stored)
            && newest.key.as_ref().is_some_and(|(_, other)| other == content)
            && Some(newest.received_ms) == latest_ms
            && newest.received_ms <= new.received_ms
            && self.model.wall_max_ms < newest.received_ms + DEDUP_MS
            // With a segment go its keys, once the index is made anew.
            && newest.id.is_some_and(|id| lsn_of(id.number()) >= self.start())
        {
            return Err(format!("event {label} repeats {:?}, and is not taken for it", newest.id));
        }
        self.model.store(label, id)?;
        Ok(false)
    }

    pub(super) fn claim(&mut self, target: TargetNumber) -> Done {
        let (max, lease_ms) = (self.random.usize(1..8), self.random.u64(1_000..2 * HOUR_MS));
        let (untried, glance) = (self.random.u8(..5) == 0, self.random.u8(..4) == 0);
        let lease = Duration::from_millis(lease_ms);
        let store = self.store();
        let asked = if untried {
            store.claim_untried(target, max, lease)
        } else {
            store.claim(target, max, lease)
        };
        let given = if glance { self.running().glance(asked) } else { self.ask(asked) };
        match given {
            None if glance => self.note(format!("glance {target:?} -> nothing")),
            None => {
                self.note(format!("claim {target:?} -> nothing"));
                if !untried {
                    self.nothing_to_claim(target)?;
                }
            }
            Some(Ok(given)) if given.len() > max => return Err("more than asked for".into()),
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

    fn nothing_to_claim(&self, target: TargetNumber) -> Done {
        if self.model.held.contains(&target.0) {
            return Ok(());
        }
        let (steady_ms, wall_ms) = (self.steady_ms(), self.wall_ms());
        let stuck = self.model.of(target.0).find(|(_, delivery)| {
            // A row that is not on disk yet cannot be seen; it will be in a second.
            let on_disk = !delivery.row || delivery.since.is_empty();
            delivery.status == Status::Open
                && on_disk
                && !delivery.is_leased(steady_ms)
                && delivery.due_ms.is_some_and(|due| due <= wall_ms)
        });
        stuck.map_or(Ok(()), |(label, d)| Err(format!("{label} waits and is not given: {d:?}")))
    }

    /// What was handed over is what was appended, open, due and nobody else's.
    pub(super) fn given(
        &mut self,
        target: TargetNumber,
        given: &[dispatcher_model::Delivery],
        lease_ms: u64,
        untried: bool,
    ) -> Done<Vec<Label>> {
        let (steady_ms, wall_ms) = (self.steady_ms(), self.wall_ms());
        if self.model.held.contains(&target.0) {
            return Err(format!("{target:?} is held, and given {} deliveries", given.len()));
        }
        let mut labels = Vec::new();
        for one in given {
            let label = Model::label_of(&one.event.data).ok_or("the body is no event's")?;
            let event = self.model.events.get(label).ok_or("an event that never was")?;
            if *one.event.data != *event.text.as_bytes() || event.id != Some(one.event.id) {
                return Err(format!("event {label} is given as another: {:?}", one.event.id));
            }
            let delivery = self.model.deliveries.get_mut(&(target.0, label));
            let delivery = delivery.ok_or_else(|| format!("{label} was never for {target:?}"))?;
            let attempt = one.attempt;
            let wrong = if delivery.status != Status::Open {
                "is over"
            } else if delivery.is_leased(steady_ms) {
                "has a lease"
            } else if delivery.due_ms.is_some_and(|due| due > wall_ms) {
                "is not due"
            } else if delivery.attempts.is_some_and(|attempts| attempts + 1 != attempt) {
                "has another number of attempts"
            } else if delivery.progress.as_ref().is_some_and(|p| *p != one.progress) {
                "had another progress"
            } else if untried && delivery.attempts.is_some_and(|attempts| attempts > 0) {
                "was tried before"
            } else {
                delivery.lease_ms = Some(steady_ms + lease_ms);
                delivery.attempts = Some(one.attempt - 1);
                labels.push(label);
                continue;
            };
            return Err(format!(
                "{label} is given to {target:?} for the {attempt}. time, but {wrong}: {delivery:?}"
            ));
        }
        Ok(labels)
    }

    /// Some of what the target holds, in any order. Leases that are over count as well now and then.
    fn held_by(&mut self, target: TargetNumber, max: usize) -> Vec<Label> {
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
        let at = self.time.wall().plus(later);
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
        let (step, wall_ms) = (self.step, self.wall_ms());
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
                    delivery.due_ms = delivery.due_ms.map(|due| due.min(wall_ms));
                }
            }
        }
    }

    pub(super) fn settle(&mut self, target: TargetNumber) -> Done {
        let held = self.held_by(target, 6);
        if held.is_empty() {
            return Ok(());
        }
        let mut outcomes = Vec::new();
        for label in held {
            let delivery = self.model.deliveries[&(target.0, label)].clone();
            let outcome = self.outcome(&delivery);
            self.note(format!("settle {target:?} {label} {outcome:?}"));
            self.settled(target, label, &outcome);
            let event = self.model.id(label).ok_or("what is held is stored")?;
            outcomes.push(Settlement { event, outcome });
        }
        let store = self.store();
        self.ask_settled(store.settle(target, outcomes))
    }

    fn ask_settled(&mut self, asked: crate::BoxFuture<'_, Result<(), crate::StoreError>>) -> Done {
        match self.ask(asked) {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(format!("settle: {error}")),
            None => Err("settle is never answered".into()),
        }
    }

    /// One message for all of them, which opens a window.
    pub(super) fn digest(&mut self, target: TargetNumber) -> Done {
        let held = self.held_by(target, 20);
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
            let event = self.model.id(*label).ok_or("what is held is stored")?;
            outcomes.push(Settlement { event, outcome: outcome.clone() });
        }
        let until_ms = self.wall_ms() + self.random.u64(1..4 * HOUR_MS);
        let (group, until) = (self.step, Timestamp::from_millis(until_ms));
        let window = Window { target: target.0, group, until_ms, step: self.step, durable: false };
        self.model.windows.push(window);
        self.model.digests.insert(self.step);
        self.note(format!("digest {target:?} {held:?} {outcome:?}"));
        let store = self.store();
        self.ask_settled(store.settle_digest(target, outcomes, crate::Window { group, until }))
    }

    pub(super) fn extend(&mut self, target: TargetNumber) -> Done {
        let held = self.held_by(target, 6);
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

    /// Time goes by; the committer notices.
    pub(super) fn pass(&mut self) -> Done {
        let ms = match self.random.u8(..3) {
            0 => self.random.u64(1..2_000),
            1 => self.random.u64(1..HOUR_MS),
            _ => self.random.u64(1..4 * HOUR_MS),
        };
        self.time.pass(ms);
        self.model.wall_max_ms = self.model.wall_max_ms.max(self.wall_ms());
        self.note(format!("pass {ms}"));
        let running = self.running.as_mut().ok_or("no store is open")?;
        running.round();
        running.look();
        Ok(())
    }

    /// Somebody sets the clock.
    pub(super) fn jump(&mut self) -> Done {
        if !self.plan.jumps {
            return Ok(());
        }
        let hours = match self.random.u8(..3) {
            0 => 24 * 365 * self.random.i64(1..3),
            _ => self.random.i64(1..40),
        };
        let hours = if self.random.bool() { hours } else { -hours };
        self.time.jump(hours * 3_600_000);
        self.model.wall_max_ms = self.model.wall_max_ms.max(self.wall_ms());
        self.note(format!("jump {hours} h"));
        Ok(())
    }

    pub(super) fn index(&mut self) -> Done {
        let max = self.random.usize(1..4);
        let did = self.running.as_mut().ok_or("no store is open")?.index(max);
        self.note(format!("index {max} -> {did}"));
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Done {
        let store = self.store();
        match self.ask(store.flush()) {
            Some(Ok(())) => self.model.all_durable(),
            Some(Err(_)) if self.has_met_faults() => {}
            Some(Err(error)) => return Err(format!("flush: {error}")),
            None => return Err("flush is never answered".into()),
        }
        self.note("flush");
        Ok(())
    }

    pub(super) fn register(&mut self, count: usize) -> Done {
        for _ in 0..count {
            if self.model.targets.len() >= TARGETS_MAX {
                return Ok(());
            }
            let name = format!("t{}", self.model.targets.len());
            let store = self.store();
            match self.ask(store.register(vec![name.as_str().into()])) {
                Some(Ok(numbers)) => {
                    self.model.all_durable();
                    self.note(format!("register {name} -> {numbers:?}"));
                    self.model.targets.push((name, numbers[0]));
                }
                Some(Err(_)) if self.has_met_faults() => self.note("register is refused"),
                Some(Err(error)) => return Err(format!("register: {error}")),
                None => return Err("register is never answered".into()),
            }
        }
        Ok(())
    }

    /// Something will go wrong.
    pub(super) fn fault(&mut self) -> Done {
        if !self.plan.faults {
            return Ok(());
        }
        let kind = self.random.u8(..8);
        let n = self.random.u32(..6);
        self.disk.plan(|faults| match kind {
            0 => faults.bad_syncs = 1,
            1 => faults.bad_writes = 1,
            2 => faults.bad_names = 1,
            3 => faults.full = !faults.full,
            4 => faults.full = false,
            _ => faults.fuse = Some(n),
        });
        self.note(format!("fault {kind} {n}"));
        Ok(())
    }

    /// Hours of which index rows may be compared: none of them was dropped.
    pub(super) fn hours_known(&self) -> u32 {
        hour_of(self.model.wall_max_ms).saturating_sub(23)
    }
}
