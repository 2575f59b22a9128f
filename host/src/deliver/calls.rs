//! The running calls of one target: their slots, deadlines, and how each ended.
//!
//! A call that panics or is cut ends with a failure for each of its deliveries, so that whoever waits
//! here always gets exactly one verdict a delivery.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, Sleep, sleep_until};

use super::crew::Crew;
use super::digest::Set;
use super::turns::{TURNS_TIME, Turns};
use super::{Backend, CUT_MARGIN};
use crate::model::{Delivery, EventId, Failure, FailureKind, OWN_SOURCE, Timestamp, Verdict};

/// What a call is given.
#[derive(Clone, Debug)]
pub(super) enum Load {
    /// A verdict each.
    Several(Arc<[Delivery]>),
    /// One verdict for all of them.
    Message(Arc<Set>),
}

impl Load {
    fn verdicts(&self) -> usize {
        match self {
            Self::Several(deliveries) => deliveries.len(),
            Self::Message(_) => 1,
        }
    }

    /// Every delivery of it.
    pub(super) fn events(&self) -> Vec<EventId> {
        match self {
            Self::Several(deliveries) => deliveries.iter().map(|d| d.event.id).collect(),
            Self::Message(set) => set.members.clone(),
        }
    }

    /// Whether all of it, as far as it is known, are the daemon's own events.
    pub(super) fn is_own(&self) -> bool {
        let deliveries = match self {
            Self::Several(deliveries) => &deliveries[..],
            Self::Message(set) => &set.digest.sample,
        };
        deliveries.iter().all(|delivery| &*delivery.event.source == OWN_SOURCE)
    }

    async fn deliver(self, backend: Arc<dyn Backend>, deadline: Instant) -> Vec<Verdict> {
        match &self {
            Self::Several(deliveries) => backend.deliver(deliveries, deadline).await,
            Self::Message(set) => backend.deliver_digest(&set.digest, deadline).await,
        }
    }
}

/// One call of the backend.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) load: Load,
    pub(super) began_at: Timestamp,
    began: Instant,
    cut_at: Instant,
    task: AbortHandle,
    /// For those that are delivered in turn.
    turns: Option<Arc<Turns>>,
    /// It tries a held target.
    pub(super) probe: bool,
}

/// A call that is over for its deliveries.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) call: Call,
    /// As many as deliveries; one for a message.
    pub(super) verdicts: Vec<Verdict>,
    pub(super) took: Took,
    /// Not begun; the call is without them.
    pub(super) untried: Vec<EventId>,
    /// So many of the verdicts, the last ones, are of deliveries that were under way at a cut.
    cut: usize,
}

impl Ended {
    /// Leaves out what was under way at a cut: nobody knows how that would have ended.
    pub(super) fn forget_cut(&mut self) -> Vec<EventId> {
        self.verdicts.truncate(self.verdicts.len().saturating_sub(self.cut));
        match &mut self.call.load {
            Load::Message(set) if self.cut > 0 => set.members.clone(),
            Load::Message(_) => Vec::new(),
            Load::Several(list) => split(list, self.verdicts.len()),
        }
    }
}

/// Leaves the first `count` in the list and gives the events of the others.
fn split(list: &mut Arc<[Delivery]>, count: usize) -> Vec<EventId> {
    let Some((kept, rest)) = list.split_at_checked(count).filter(|(_, rest)| !rest.is_empty())
    else {
        return Vec::new();
    };
    let events = rest.iter().map(|delivery| delivery.event.id).collect();
    *list = kept.into();
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
    /// For one of the deliveries.
    pub(super) fn at(&self, place: usize) -> Duration {
        match self {
            Self::All(took) => *took,
            Self::Each(each) => each.get(place).copied().unwrap_or_default(),
        }
    }
}

/// Tasks outnumber `running` by the calls that were cut and still hold their slot.
pub(super) struct Calls {
    backend: Arc<dyn Backend>,
    crew: Crew,
    tasks: JoinSet<Vec<Verdict>>,
    running: HashMap<Id, Call>,
    /// Rings when a call may have to be cut, or earlier.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Calls {
    pub(super) fn new(backend: Arc<dyn Backend>, crew: Crew) -> Self {
        let (tasks, running) = (JoinSet::new(), HashMap::new());
        Self { backend, crew, tasks, running, alarm: None }
    }

    /// Slots taken.
    pub(super) fn slots(&self) -> usize {
        self.tasks.len()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    pub(super) fn is_probing(&self) -> bool {
        self.running.values().any(|call| call.probe)
    }

    /// Every delivery under way.
    pub(super) fn events(&self) -> Vec<EventId> {
        self.running.values().flat_map(|call| call.load.events()).collect()
    }

    pub(super) fn start(
        &mut self,
        load: Load,
        timeout: Duration,
        began_at: Timestamp,
        probe: bool,
    ) {
        let began = Instant::now();
        let mut cut_at = began + timeout + CUT_MARGIN;
        let backend = Arc::clone(&self.backend);
        let (task, turns) = match &load {
            Load::Several(list) if list.len() > 1 && self.backend.one_by_one() => {
                let turns = Turns::new();
                let all = Arc::clone(&turns).deliver(Arc::clone(list), backend, timeout);
                cut_at += TURNS_TIME;
                (
                    self.tasks.spawn(self.crew.run(async {
                        all.await;
                        Vec::new()
                    })),
                    Some(turns),
                )
            }
            load => {
                let call = load.clone().deliver(backend, began + timeout);
                (self.tasks.spawn(self.crew.run(call)), None)
            }
        };
        let id = task.id();
        self.running.insert(id, Call { load, began_at, began, cut_at, task, turns, probe });
        self.alarm.get_or_insert_with(|| Box::pin(sleep_until(cut_at)));
    }

    /// Waits until at least one slot is free again or one call is over. May answer with none: the code
    /// of a cut call has ended. Cancel safe.
    pub(super) async fn ended(&mut self) -> Vec<Ended> {
        let alarm = &mut self.alarm;
        let cut = async {
            match alarm {
                Some(alarm) => alarm.await,
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
                self.alarm = next.map(|at| Box::pin(sleep_until(at)));
                ended
            }
        }
    }

    /// Cuts every call that is still running.
    pub(super) fn cut_all(&mut self) -> Vec<Ended> {
        let last = self.running.values().map(|call| call.cut_at).max();
        last.map_or_else(Vec::new, |last| self.cut(last, "was cut: its target stops"))
    }

    fn conclude(&mut self, result: Result<(Id, Vec<Verdict>), JoinError>) -> Option<Ended> {
        let (id, result) = match result {
            Ok((id, verdicts)) => (id, Ok(verdicts)),
            Err(error) => (error.id(), Err(error)),
        };
        // A call that was cut has had its verdicts.
        let call = self.running.remove(&id)?;
        const PANICKED: &str = "the target panicked";
        if call.turns.is_some() {
            return Some(call.in_turn(result.is_err().then_some(PANICKED)));
        }
        let count = call.load.verdicts();
        let verdicts = match result {
            Ok(verdicts) if verdicts.len() == count => verdicts,
            Ok(verdicts) => failed(count, &miscounted(verdicts.len(), count)),
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
            if call.turns.is_some() {
                return call.in_turn(Some(&reason));
            }
            let verdicts = failed(call.load.verdicts(), &reason);
            let (took, cut) = (Took::All(took), verdicts.len());
            Ended { call, verdicts, took, untried: Vec::new(), cut }
        });
        ended.collect()
    }
}

impl Call {
    /// Of deliveries in turn. `failure`: the one after those that were answered was under way.
    fn in_turn(mut self, failure: Option<&str>) -> Ended {
        let done = self.turns.take().map(|turns| turns.close()).unwrap_or_default();
        let (mut verdicts, mut each): (Vec<_>, Vec<_>) = done.into_iter().unzip();
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

/// The verdict for a single delivery.
pub(super) fn one(mut verdicts: Vec<Verdict>) -> Verdict {
    match (verdicts.pop(), verdicts.len()) {
        (Some(verdict), 0) => verdict,
        (last, left) => {
            let given = left + usize::from(last.is_some());
            Err(failure(&miscounted(given, 1)))
        }
    }
}

fn miscounted(given: usize, count: usize) -> String {
    format!("the target gave {given} verdicts for {count} events")
}

/// Nobody knows how far such a call had come.
fn failed(count: usize, reason: &str) -> Vec<Verdict> {
    vec![Err(failure(reason)); count]
}

fn failure(reason: &str) -> Failure {
    Failure { maybe_sent: true, ..Failure::new(FailureKind::Retry, reason) }
}
