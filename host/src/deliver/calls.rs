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
    /// It tries a held target.
    pub(super) probe: bool,
}

/// A call that is over for its deliveries.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) call: Call,
    /// As many as deliveries; one for a message.
    pub(super) verdicts: Vec<Verdict>,
    pub(super) took: Duration,
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
        let deadline = began + timeout;
        let call = load.clone().deliver(Arc::clone(&self.backend), deadline);
        let task = self.tasks.spawn(self.crew.run(call));
        let (id, cut_at) = (task.id(), deadline + CUT_MARGIN);
        self.running.insert(id, Call { load, began_at, began, cut_at, task, probe });
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
        let count = call.load.verdicts();
        let verdicts = match result {
            Ok(verdicts) if verdicts.len() == count => verdicts,
            Ok(verdicts) => {
                let given = verdicts.len();
                failed(count, &format!("the target gave {given} verdicts for {count} events"))
            }
            Err(_) => failed(count, "the target panicked"),
        };
        let took = call.began.elapsed();
        Some(Ended { call, verdicts, took })
    }

    /// Cuts the calls whose time is over at `now`.
    fn cut(&mut self, now: Instant, why: &str) -> Vec<Ended> {
        let over = self.running.extract_if(|_, call| call.cut_at <= now);
        let ended = over.map(|(_, call)| {
            call.task.abort();
            let took = call.began.elapsed();
            let reason = format!("the attempt {why} ({:.1} s)", took.as_secs_f64());
            let verdicts = failed(call.load.verdicts(), &reason);
            Ended { call, verdicts, took }
        });
        ended.collect()
    }
}

/// Nobody knows how far such a call had come.
fn failed(count: usize, reason: &str) -> Vec<Verdict> {
    let failure = Failure { maybe_sent: true, ..Failure::new(FailureKind::Retry, reason) };
    vec![Err(failure); count]
}
