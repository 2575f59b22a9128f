//! What the store was asked and what it answered, in plain maps.

use std::collections::{BTreeMap, BTreeSet};

use crate::Hold;
use dispatcher_model::{EventId, TargetNumber};

/// The test's number of an event. The body of the event starts with it.
pub(super) type Label = usize;
pub(super) const LABEL_BYTES: usize = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// Acknowledged, or seen in the log.
    Stored,
    /// Not acknowledged: it may be in the log or not.
    Maybe,
    /// Not in the log: a repetition, or found missing after a start.
    Absent,
    /// Its segment was removed.
    Gone,
}

/// What identifies a repetition: the id and the content, for one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub source: &'static str,
    pub id: u8,
    pub content: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Event {
    pub text: String,
    pub targets: BTreeSet<u16>,
    pub key: Option<Key>,
    pub received_ms: u64,
    /// What had really passed by then.
    pub steady_ms: u64,
    /// How long an event with the same key repeats it.
    pub window_ms: u64,
    /// The request it came with.
    pub request: u64,
    pub presence: Presence,
    pub id: Option<EventId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Status {
    Open,
    Delivered,
    Dead,
    Dropped,
}

/// A delivery as of the newest call that concerned it.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub status: Status,
    /// Its status on the disk at least.
    pub durable: Status,
    /// Later statuses, each with its step: a crash keeps the first few of them.
    pub since: Vec<(u64, Status)>,
    /// Claimed until then, on the steady clock.
    pub lease_ms: Option<u64>,
    /// Unknown after some crashes.
    pub attempts: Option<u32>,
    /// Not due before that, on the wall clock.
    pub due_ms: Option<u64>,
    pub progress: Option<Vec<u8>>,
    /// It was attempted, or waited for a digest: it may have a row in the index.
    pub row: bool,
}

impl Delivery {
    pub(super) fn new() -> Self {
        Self {
            status: Status::Open,
            durable: Status::Open,
            since: Vec::new(),
            lease_ms: None,
            attempts: Some(0),
            due_ms: Some(0),
            progress: Some(Vec::new()),
            row: false,
        }
    }

    pub(super) fn becomes(&mut self, step: u64, status: Status) {
        self.status = status;
        self.since.push((step, status));
        self.lease_ms = None;
    }

    pub(super) fn is_durable(&mut self) {
        self.durable = self.status;
        self.since.clear();
    }

    pub(super) fn is_leased(&self, steady_ms: u64) -> bool {
        self.lease_ms.is_some_and(|until| until > steady_ms)
    }
}

/// A window that a digest opened.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub target: u16,
    pub group: u64,
    pub until_ms: u64,
    pub step: u64,
    /// Whether it is on the disk.
    pub durable: bool,
}

#[derive(Default)]
pub(super) struct Model {
    pub events: Vec<Event>,
    pub deliveries: BTreeMap<(u16, Label), Delivery>,
    pub targets: Vec<(String, TargetNumber)>,
    pub held: BTreeMap<u16, Hold>,
    /// Targets whose hold was changed without an answer.
    pub holds_unsure: BTreeSet<u16>,
    /// How many dead letters of a target may be counted in a range without being found there: events
    /// that came by a replay and were not planned for the target.
    pub folded: BTreeMap<u16, u64>,
    pub windows: Vec<Window>,
    /// Moves that were not answered: from, to and the event.
    pub moves: Vec<(u16, u16, Label)>,
    /// Steps that were digests.
    pub digests: BTreeSet<u64>,
    /// The event of each number that was ever given: no other may get it.
    pub numbers: BTreeMap<u64, Label>,
    /// The latest time that the wall clock ever showed.
    pub wall_max_ms: u64,
    /// When the store was opened last, by the steady clock.
    pub opened_steady_ms: u64,
}

impl Model {
    pub(super) fn label_of(data: &[u8]) -> Option<Label> {
        std::str::from_utf8(data.get(..LABEL_BYTES)?).ok()?.parse().ok()
    }

    /// The event is in the log, under that id.
    pub(super) fn store(&mut self, label: Label, id: EventId) -> Result<(), String> {
        if let Some(other) = self.numbers.insert(id.number(), label)
            && other != label
        {
            return Err(format!("events {other} and {label} both have the number {}", id.number()));
        }
        let event = &mut self.events[label];
        if event.presence == Presence::Stored && event.id != Some(id) {
            return Err(format!("event {label} has the ids {:?} and {id:?}", event.id));
        }
        (event.presence, event.id) = (Presence::Stored, Some(id));
        for target in event.targets.clone() {
            self.deliveries.entry((target, label)).or_insert_with(Delivery::new);
        }
        Ok(())
    }

    /// Everything that was answered so far is on the disk.
    pub(super) fn all_durable(&mut self) {
        for delivery in self.deliveries.values_mut() {
            delivery.is_durable();
        }
        for window in &mut self.windows {
            window.durable = true;
        }
    }

    /// Whether the delivery came by a replay alone.
    pub(super) fn is_unplanned(&self, (target, label): (u16, Label)) -> bool {
        !self.events[label].targets.contains(&target)
    }

    /// Counts a dead letter that became part of a range when its segment was to be removed.
    pub(super) fn fold(&mut self, key: (u16, Label), now: Status) {
        let open = self.deliveries.get(&key).is_some_and(|d| d.status != Status::Dropped);
        if now == Status::Dropped && open && self.is_unplanned(key) {
            *self.folded.entry(key.0).or_default() += 1;
        }
    }

    pub(super) fn of(&self, target: u16) -> impl Iterator<Item = (Label, &Delivery)> {
        let all = self.deliveries.range((target, 0)..=(target, Label::MAX));
        all.map(|((_, label), delivery)| (*label, delivery))
    }

    pub(super) fn count(&self, target: u16, status: Status) -> u64 {
        self.of(target).filter(|(_, delivery)| delivery.status == status).count() as u64
    }

    pub(super) fn id(&self, label: Label) -> Option<EventId> {
        self.events[label].id.filter(|_| self.events[label].presence == Presence::Stored)
    }

    /// The event that has that number now.
    pub(super) fn label(&self, id: EventId) -> Option<Label> {
        let label = *self.numbers.get(&id.number())?;
        (self.events[label].id == Some(id)).then_some(label)
    }
}
