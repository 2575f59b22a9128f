//! A queue in memory that keeps the contract in virtual time: the engine has threads and a disk, and
//! would let the paused clock run away.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::{START, event_id};
use crate::model::{
    Attributes, Delivery, EventId, Headers, RepetitionSeed, Severity, StoredEvent, TargetNumber,
    Timestamp,
};
use crate::store::{
    AppendError, BoxFuture, DeadLetter, Depth, Durable, Hold, HoldKind, NewRequest, Outcome, Queue,
    Settlement, StoreError,
};

/// One pending delivery.
struct Entry {
    delivery: Delivery,
    /// Its retry row; `None`: never tried.
    due: Option<Timestamp>,
    lease_ends: Option<Instant>,
}

#[derive(Default)]
struct State {
    pending: BTreeMap<(TargetNumber, EventId), Entry>,
    settled: Vec<(TargetNumber, Settlement)>,
    expired: Vec<(u64, String)>,
    /// `None`: it cannot hold targets.
    holds: Option<BTreeMap<TargetNumber, Hold>>,
    pause_before_let_go: Option<Hold>,
    settles_to_fail: u32,
    panics: bool,
    flushed: bool,
}

pub(super) struct Memory {
    state: Mutex<State>,
    changed: Notify,
    origin: Instant,
}

/// A first attempt.
pub(in crate::deliver) fn delivery(id: EventId, received_at: Timestamp) -> Delivery {
    let attributes = Attributes {
        event_type: "test".into(),
        subject: None,
        time: None,
        title: "a test".into(),
        severity: Severity::Info,
        link: None,
    };
    let event = StoredEvent {
        id,
        source: "sqreen".into(),
        received_at,
        headers: Arc::new(Headers::default()),
        attributes,
        data: "{}".into(),
    };
    Delivery { event: Arc::new(event), attempt: 1, first_attempt_at: None, progress: Vec::new() }
}

impl Memory {
    pub(super) fn new() -> Arc<Self> {
        let (state, changed) = (Mutex::default(), Notify::new());
        Arc::new(Self { state, changed, origin: Instant::now() })
    }

    /// One that can hold targets.
    pub(super) fn with_holds() -> Arc<Self> {
        let memory = Self::new();
        memory.state.lock().unwrap().holds = Some(BTreeMap::new());
        memory
    }

    /// Puts events of these numbers before the target.
    pub(super) fn put(&self, target: TargetNumber, numbers: std::ops::Range<u64>) {
        for number in numbers {
            let id = event_id(number);
            let delivery = delivery(id, self.now());
            let entry = Entry { delivery, due: None, lease_ends: None };
            self.state.lock().unwrap().pending.insert((target, id), entry);
        }
        self.changed.notify_waiters();
    }

    /// A person pauses the target while it is being let go.
    pub(super) fn pause_before_let_go(&self) {
        let hold = Hold { kind: HoldKind::Paused, reason: "by hand".to_owned(), since: self.now() };
        self.state.lock().unwrap().pause_before_let_go = Some(hold);
    }

    pub(super) fn fail_settles(&self, count: u32) {
        self.state.lock().unwrap().settles_to_fail = count;
    }

    /// The next settling panics.
    pub(super) fn panic_once(&self) {
        self.state.lock().unwrap().panics = true;
    }

    pub(super) fn flushed(&self) -> bool {
        self.state.lock().unwrap().flushed
    }

    /// How often each kind of outcome was settled for the target, by the first word of its name.
    pub(super) fn settled(&self, target: TargetNumber) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for (of, settlement) in &self.state.lock().unwrap().settled {
            let kind = match settlement.outcome {
                Outcome::Delivered { .. } => "delivered",
                Outcome::Retry { .. } => "retry",
                Outcome::Dead { .. } => "dead",
                Outcome::Release => "release",
                Outcome::Wait { .. } => "wait",
            };
            *counts.entry(kind).or_default() += usize::from(*of == target);
        }
        counts.retain(|_, count| *count > 0);
        counts
    }

    /// Reasons of the target's dead letters, and of what expired.
    pub(super) fn reasons(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let dead = state.settled.iter().filter_map(|(_, settlement)| match &settlement.outcome {
            Outcome::Dead { reason } => Some(reason.clone()),
            _ => None,
        });
        dead.chain(state.expired.iter().map(|(count, reason)| format!("{count} {reason}")))
            .collect()
    }

    /// Waits until nothing is pending.
    pub(super) async fn emptied(&self) {
        while !self.state.lock().unwrap().pending.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn wait_and_take(
        &self,
        target: TargetNumber,
        max: usize,
        lease: Duration,
        untried: bool,
    ) -> Result<Vec<Delivery>, StoreError> {
        loop {
            let changed = self.changed.notified();
            let taken = self.take(target, max, lease, untried);
            if !taken.is_empty() {
                return Ok(taken);
            }
            tokio::select! {
                () = changed => {}
                () = sleep_until(self.next_change(target)) => {}
            }
        }
    }

    fn take(
        &self,
        target: TargetNumber,
        max: usize,
        lease: Duration,
        untried: bool,
    ) -> Vec<Delivery> {
        let (now, instant) = (self.now(), Instant::now());
        let mut state = self.state.lock().unwrap();
        let hold = state.holds.as_ref().and_then(|holds| holds.get(&target));
        if hold.is_some_and(|hold| !untried || hold.kind != HoldKind::Broken) {
            return Vec::new();
        }
        let mut ready: Vec<&mut Entry> = state
            .pending
            .iter_mut()
            .filter(|((of, _), entry)| {
                let free = entry.lease_ends.is_none_or(|ends| ends <= instant);
                let ready = entry.due.is_none_or(|due| due <= now && !untried);
                *of == target && free && ready
            })
            .map(|(_, entry)| entry)
            .collect();
        // Due retries first.
        ready.sort_by_key(|entry| entry.due.unwrap_or(Timestamp::from_millis(u64::MAX)));
        let taken = ready.into_iter().take(max).map(|entry| {
            entry.lease_ends = Some(instant + lease);
            entry.delivery.clone()
        });
        taken.collect()
    }

    /// When something may be ready without anybody changing anything.
    fn next_change(&self, target: TargetNumber) -> Instant {
        let state = self.state.lock().unwrap();
        let of_target = state.pending.iter().filter(|((of, _), _)| *of == target);
        let moments = of_target.filter_map(|(_, entry)| {
            let due = entry.due.map(|due| self.origin + due.since(START));
            entry.lease_ends.max(due)
        });
        // What is due and cannot be claimed waits for a change.
        let moments = moments.filter(|at| *at > Instant::now());
        moments.min().unwrap_or_else(|| Instant::now() + Duration::from_secs(3600))
    }

    fn apply(&self, target: TargetNumber, settlement: Settlement) {
        let now = self.now();
        let mut state = self.state.lock().unwrap();
        let key = (target, settlement.event);
        let Some(entry) = state.pending.get_mut(&key).filter(|entry| entry.lease_ends.is_some())
        else {
            return;
        };
        entry.lease_ends = None;
        match &settlement.outcome {
            Outcome::Delivered { .. } | Outcome::Dead { .. } => {
                state.pending.remove(&key);
            }
            Outcome::Retry { at, progress, .. } => {
                entry.due = Some(*at);
                entry.delivery.attempt += 1;
                entry.delivery.progress.clone_from(progress);
                entry.delivery.first_attempt_at.get_or_insert(now);
            }
            Outcome::Release => {}
            Outcome::Wait { until } => entry.due = Some(*until),
        }
        state.settled.push((target, settlement));
    }
}

impl Queue for Memory {
    fn repetition_seed(&self) -> RepetitionSeed {
        RepetitionSeed::default()
    }

    fn register(&self, _: Vec<Arc<str>>) -> BoxFuture<'_, Result<Vec<TargetNumber>, StoreError>> {
        unreachable!("the deliverer registers nothing")
    }

    fn append(&self, _: NewRequest) -> BoxFuture<'_, Result<Durable, AppendError>> {
        unreachable!("the deliverer appends nothing")
    }

    fn claim(
        &self,
        target: TargetNumber,
        max: usize,
        lease: Duration,
    ) -> BoxFuture<'_, Result<Vec<Delivery>, StoreError>> {
        Box::pin(self.wait_and_take(target, max, lease, false))
    }

    fn claim_untried(
        &self,
        target: TargetNumber,
        max: usize,
        lease: Duration,
    ) -> BoxFuture<'_, Result<Vec<Delivery>, StoreError>> {
        Box::pin(self.wait_and_take(target, max, lease, true))
    }

    fn settle(
        &self,
        target: TargetNumber,
        outcomes: Vec<Settlement>,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let mut state = self.state.lock().unwrap();
            if std::mem::take(&mut state.panics) {
                drop(state);
                panic!("a mistake of the store");
            }
            if state.settles_to_fail > 0 {
                state.settles_to_fail -= 1;
                return Err(StoreError::Disk { reason: "the disk is full".into() });
            }
            drop(state);
            outcomes.into_iter().for_each(|settlement| self.apply(target, settlement));
            self.changed.notify_waiters();
            Ok(())
        })
    }

    fn now(&self) -> Timestamp {
        START.plus(self.origin.elapsed())
    }

    fn hold(
        &self,
        target: TargetNumber,
        hold: Option<Hold>,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let mut state = self.state.lock().unwrap();
            let holds = state.holds.as_mut().ok_or(StoreError::Unsupported)?;
            match hold {
                Some(hold) => drop(holds.insert(target, hold)),
                None => drop(holds.remove(&target)),
            }
            self.changed.notify_waiters();
            Ok(())
        })
    }

    fn let_go(&self, target: TargetNumber) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let mut state = self.state.lock().unwrap();
            // A person's pause arrives just before this.
            let pause = state.pause_before_let_go.take();
            let holds = state.holds.as_mut().ok_or(StoreError::Unsupported)?;
            holds.extend(pause.map(|hold| (target, hold)));
            if holds.get(&target).is_some_and(|hold| hold.kind == HoldKind::Broken) {
                holds.remove(&target);
            }
            self.changed.notify_waiters();
            Ok(())
        })
    }

    fn held(&self, target: TargetNumber) -> Option<Hold> {
        self.state.lock().unwrap().holds.as_ref()?.get(&target).cloned()
    }

    fn extend(&self, target: TargetNumber, events: Vec<EventId>, lease: Duration) {
        let mut state = self.state.lock().unwrap();
        for event in events {
            if let Some(entry) = state.pending.get_mut(&(target, event)) {
                entry.lease_ends = Some(Instant::now() + lease);
            }
        }
    }

    fn expire(
        &self,
        target: TargetNumber,
        received_before: Timestamp,
        reason: String,
    ) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async move {
            let mut state = self.state.lock().unwrap();
            let before = state.pending.len();
            state.pending.retain(|(of, _), entry| {
                let old = entry.delivery.event.received_at < received_before;
                *of != target || entry.due.is_some() || entry.lease_ends.is_some() || !old
            });
            let count = (before - state.pending.len()) as u64;
            if count > 0 {
                state.expired.push((count, reason));
            }
            Ok(count)
        })
    }

    fn depth(&self, target: TargetNumber) -> Depth {
        let state = self.state.lock().unwrap();
        let of_target = || state.pending.iter().filter(|((of, _), _)| *of == target);
        let retrying = of_target().filter(|(_, entry)| entry.due.is_some()).count() as u64;
        Depth { pending: of_target().count() as u64, retrying, ..Depth::default() }
    }

    fn dead_letters(
        &self,
        _: TargetNumber,
        _: Option<EventId>,
        _: usize,
    ) -> BoxFuture<'_, Result<Vec<DeadLetter>, StoreError>> {
        unreachable!("the deliverer lists nothing")
    }

    fn event(&self, _: EventId) -> BoxFuture<'_, Result<Option<Arc<StoredEvent>>, StoreError>> {
        unreachable!("the deliverer looks nothing up")
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.state.lock().unwrap().flushed = true;
            Ok(())
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        unreachable!("the deliverer closes nothing")
    }
}
