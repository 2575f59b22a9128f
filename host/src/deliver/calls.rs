//! The running calls of one target: their deadlines, and how each ended.
//!
//! A call that panics or is cut ends with a failure for each of its deliveries, so that there is always exactly one
//! verdict per delivery.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, Sleep, sleep_until};

use super::backend::Backend;
use super::call_slots::CallSlots;
use super::digest::Message;
use super::sequence::{SEQUENCE_TIME_MAX, Sequence};
use super::settings::CUT_MARGIN;
use crate::model::{Delivery, EventId, OWN_SOURCE, Timestamp, Verdict};
use crate::retry::verdicts::{PANICKED, counted, failed};

/// What a call is given.
#[derive(Clone, Debug)]
pub(super) enum Load {
    /// One verdict for each.
    Several(Arc<[Delivery]>),
    /// One verdict for all members.
    Message(Arc<Message>),
}

impl Load {
    fn verdicts(&self) -> usize {
        match self {
            Self::Several(deliveries) => deliveries.len(),
            Self::Message(_) => 1,
        }
    }

    /// The events of all its deliveries.
    pub(super) fn events(&self) -> Vec<EventId> {
        match self {
            Self::Several(deliveries) => deliveries.iter().map(|d| d.event.id).collect(),
            Self::Message(message) => message.members.clone(),
        }
    }

    /// Whether all of its events, as far as they are known, are the daemon's own.
    pub(super) fn is_own(&self) -> bool {
        let deliveries = match self {
            Self::Several(deliveries) => &deliveries[..],
            Self::Message(message) => &message.digest.sample,
        };
        deliveries.iter().all(|delivery| &*delivery.event.source == OWN_SOURCE)
    }

    async fn deliver(self, backend: Arc<dyn Backend>, deadline: Instant) -> Vec<Verdict> {
        match &self {
            Self::Several(deliveries) => backend.deliver(deliveries, deadline).await,
            Self::Message(message) => backend.deliver_digest(&message.digest, deadline).await,
        }
    }
}

/// What a call is started with.
pub(super) struct Start {
    pub(super) load: Load,
    pub(super) timeout: Duration,
    pub(super) began_at: Timestamp,
    /// The call probes a target whose circuit breaker is open.
    pub(super) probe: bool,
}

/// One call of the backend.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) load: Load,
    pub(super) began_at: Timestamp,
    began: Instant,
    cut_at: Instant,
    task: AbortHandle,
    /// The progress of deliveries in sequence.
    sequence: Option<Arc<Sequence>>,
    pub(super) probe: bool,
}

/// A call that has ended, or was cut.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) call: Call,
    /// One per delivery, or one for a message.
    pub(super) verdicts: Vec<Verdict>,
    pub(super) took: Took,
    /// Deliveries that the call did not attempt. Its load no longer has them.
    pub(super) untried: Vec<EventId>,
    /// How many verdicts, the last ones, are of deliveries under way when the call was cut.
    cut: usize,
}

impl Ended {
    /// Removes the deliveries that were under way when the call was cut, and returns their events.
    pub(super) fn forget_cut(&mut self) -> Vec<EventId> {
        self.verdicts.truncate(self.verdicts.len().saturating_sub(self.cut));
        match &mut self.call.load {
            Load::Message(message) if self.cut > 0 => message.members.clone(),
            Load::Message(_) => Vec::new(),
            Load::Several(list) => split(list, self.verdicts.len()),
        }
    }
}

/// Truncates the list to `count` and returns the events of the others.
fn split(list: &mut Arc<[Delivery]>, count: usize) -> Vec<EventId> {
    let Some((first, rest)) = list.split_at_checked(count).filter(|(_, rest)| !rest.is_empty())
    else {
        return Vec::new();
    };
    let events = rest.iter().map(|delivery| delivery.event.id).collect();
    *list = first.into();
    events
}

/// How long a call took.
#[derive(Debug)]
pub(super) enum Took {
    All(Duration),
    /// Each delivery, in their order.
    Each(Vec<Duration>),
}

impl Took {
    /// The time of one delivery.
    pub(super) fn at(&self, place: usize) -> Duration {
        match self {
            Self::All(took) => *took,
            Self::Each(each) => each.get(place).copied().unwrap_or_default(),
        }
    }
}

/// The calls of one target.
pub(super) struct Calls {
    backend: Arc<dyn Backend>,
    slots: CallSlots,
    /// All calls, including those that were cut and whose code still runs.
    tasks: JoinSet<Vec<Verdict>>,
    /// The calls that were not cut.
    running: HashMap<Id, Call>,
    /// Fires when a call may have to be cut, or earlier.
    cut_timer: Option<Pin<Box<Sleep>>>,
}

impl Calls {
    pub(super) fn new(backend: Arc<dyn Backend>, slots: CallSlots) -> Self {
        let (tasks, running) = (JoinSet::new(), HashMap::new());
        Self { backend, slots, tasks, running, cut_timer: None }
    }

    /// The number of calls, including those that were cut and whose code still runs.
    pub(super) fn count(&self) -> usize {
        self.tasks.len()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    pub(super) fn is_probing(&self) -> bool {
        self.running.values().any(|call| call.probe)
    }

    /// The events of all deliveries under way.
    pub(super) fn events(&self) -> Vec<EventId> {
        self.running.values().flat_map(|call| call.load.events()).collect()
    }

    pub(super) fn start(&mut self, Start { load, timeout, began_at, probe }: Start) {
        let began = Instant::now();
        let mut cut_at = began + timeout + CUT_MARGIN;
        let backend = Arc::clone(&self.backend);
        let (task, sequence) = match &load {
            Load::Several(list) if list.len() > 1 && self.backend.one_by_one() => {
                let sequence = Sequence::new();
                let all = Arc::clone(&sequence).deliver(Arc::clone(list), backend, timeout);
                cut_at += SEQUENCE_TIME_MAX;
                (
                    self.tasks.spawn(self.slots.run(async {
                        all.await;
                        Vec::new()
                    })),
                    Some(sequence),
                )
            }
            load => {
                let call = load.clone().deliver(backend, began + timeout);
                (self.tasks.spawn(self.slots.run(call)), None)
            }
        };
        let id = task.id();
        self.running.insert(id, Call { load, began_at, began, cut_at, task, sequence, probe });
        self.cut_timer.get_or_insert_with(|| Box::pin(sleep_until(cut_at)));
    }

    /// Waits until at least one call has ended or was cut. Returns none if the code of a call that was cut before
    /// has ended. Cancel safe.
    pub(super) async fn ended(&mut self) -> Vec<Ended> {
        let cut_timer = &mut self.cut_timer;
        let cut = async {
            match cut_timer {
                Some(timer) => timer.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(first) = self.tasks.join_next_with_id() => {
                let mut ended = Vec::from_iter(self.conclude(first));
                while let Some(next) = self.tasks.try_join_next_with_id() {
                    ended.extend(self.conclude(next));
                }
                ended
            }
            () = cut => {
                let ended = self.cut(Instant::now(), "was cut: it had not ended in time");
                let next = self.running.values().map(|call| call.cut_at).min();
                self.cut_timer = next.map(|at| Box::pin(sleep_until(at)));
                ended
            }
        }
    }

    /// Cuts every call that is still running.
    pub(super) fn cut_all(&mut self) -> Vec<Ended> {
        let last = self.running.values().map(|call| call.cut_at).max();
        last.map_or_else(Vec::new, |last| self.cut(last, "was cut: the target is stopping"))
    }

    fn conclude(&mut self, result: Result<(Id, Vec<Verdict>), JoinError>) -> Option<Ended> {
        let (id, result) = match result {
            Ok((id, verdicts)) => (id, Ok(verdicts)),
            Err(error) => (error.id(), Err(error)),
        };
        // A call that was cut already got its verdicts.
        let call = self.running.remove(&id)?;
        if call.sequence.is_some() {
            return Some(call.end_sequence(result.is_err().then_some(PANICKED)));
        }
        let count = call.load.verdicts();
        let verdicts = match result {
            Ok(verdicts) => counted(verdicts, count),
            Err(_) => failed(count, PANICKED),
        };
        let took = Took::All(call.began.elapsed());
        Some(Ended { call, verdicts, took, untried: Vec::new(), cut: 0 })
    }

    /// Cuts the calls whose time is over at `now`.
    fn cut(&mut self, now: Instant, why: &str) -> Vec<Ended> {
        let over = self.running.extract_if(|_, call| call.cut_at <= now);
        let ended = over.map(|(_, call)| {
            call.task.abort();
            let took = call.began.elapsed();
            let reason = format!("the attempt {why} ({:.1} s)", took.as_secs_f64());
            if call.sequence.is_some() {
                return call.end_sequence(Some(&reason));
            }
            let verdicts = failed(call.load.verdicts(), &reason);
            let (took, cut) = (Took::All(took), verdicts.len());
            Ended { call, verdicts, took, untried: Vec::new(), cut }
        });
        ended.collect()
    }
}

impl Call {
    /// Ends a call with deliveries in sequence. `failure`: why the delivery that was under way failed.
    fn end_sequence(mut self, failure: Option<&str>) -> Ended {
        let done = self.sequence.take().map(|sequence| sequence.close()).unwrap_or_default();
        let done = done.into_iter().map(|step| (step.verdict, step.took));
        let (mut verdicts, mut each): (Vec<_>, Vec<_>) = done.unzip();
        let mut cut = 0;
        if let Some(reason) = failure
            && verdicts.len() < self.load.verdicts()
        {
            cut = 1;
            let before: Duration = each.iter().sum();
            each.push(self.began.elapsed().saturating_sub(before));
            verdicts.extend(failed(1, reason));
        }
        let untried = match &mut self.load {
            Load::Several(list) => split(list, verdicts.len()),
            Load::Message(_) => Vec::new(),
        };
        Ended { call: self, verdicts, took: Took::Each(each), untried, cut }
    }
}
