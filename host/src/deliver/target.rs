//! The work of one target: claim, call, decide, settle.

mod broken;
mod check;
mod claim;
mod messages;
mod outcomes;
mod settle;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::backend::Backend;
use super::call_slots::CallSlots;
use super::calls::{Calls, Load, Start};
use super::clock::Clock;
use super::digest::Digests;
use super::outcome_writer::OutcomeWriter;
use super::report::Reporter;
use super::sequence::Pace;
use super::settings::Settings;
use super::tried;
use crate::model::{Delivery, EventId, Timestamp};
use crate::retry::{Breaker, Evidence, Health, MaybeSent, Permit};
use crate::store::{DIGEST_EVENTS_MAX, Outcome, Queue, Settlement, StoreError};
use crate::telemetry::Feed;
use check::Check;
use claim::{Work, claim};

/// How long a stop waits for each of its last steps beyond the grace period.
pub(super) const STOP_MARGIN: Duration = Duration::from_secs(2);
/// Wait after a failure of the store before it is used again.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// Wait before looking again at jobs that a call left running.
const LEFT_JOBS_PAUSE: Duration = Duration::from_millis(200);
/// Wait after a claim that gave less than asked for, if a call takes many deliveries. Under load it combines the
/// events of several group commits into one call; each call wakes four threads and has an outcome to record.
const BATCH_PAUSE: Duration = Duration::from_millis(5);

/// Everything that a target works with.
#[derive(Clone)]
pub(super) struct Wiring {
    pub(super) settings: Settings,
    pub(super) backend: Arc<dyn Backend>,
    pub(super) queue: Arc<dyn Queue>,
    pub(super) feed: Feed,
    pub(super) clock: Clock,
    pub(super) slots: CallSlots,
}

pub(super) struct Target {
    settings: Settings,
    backend: Arc<dyn Backend>,
    queue: Arc<dyn Queue>,
    clock: Clock,
    /// A person resumed the target.
    resume: Arc<Notify>,
    breaker: Breaker,
    health: Health,
    evidence: Evidence,
    check: Check,
    /// The store holds the deliveries until a person resumes the target or a probe succeeds.
    held: bool,
    calls: Calls,
    reporter: Reporter,
    writer: OutcomeWriter,
    /// Deliveries per call.
    per_call: usize,
    /// How long a delivery takes, which decides how many a call gets in sequence.
    pace: Pace,
    /// Claim nothing before this moment.
    gather_until: Option<Instant>,
    /// Every other probe takes a delivery that was never attempted. Retries come first in the queue, and if their
    /// events always fail, no other event would ever be probed with.
    probe_untried: bool,
    /// The last probe found no such delivery.
    untried_missing: bool,
    /// The last probe that had a choice took the last delivery.
    probe_last: bool,
    /// For a target that combines deliveries into messages.
    digests: Option<Digests>,
    /// When it last accepted a message, in the time of the store.
    delivered_at: Option<Timestamp>,
}

impl Target {
    pub(super) fn new(wiring: Wiring, resume: Arc<Notify>) -> Self {
        let Wiring { settings, backend, queue, feed, clock, slots } = wiring;
        let digests = settings.digest.clone().map(Digests::new);
        let per_call = match backend.one_by_one() {
            true => 1,
            false if digests.is_some() => DIGEST_EVENTS_MAX,
            false => settings.batch_max.max(1),
        };
        Self {
            check: Check::new(Arc::clone(&backend), slots.clone()),
            calls: Calls::new(Arc::clone(&backend), slots),
            reporter: Reporter::new(Arc::clone(&settings.name), feed, clock),
            writer: OutcomeWriter::new(Arc::clone(&queue), settings.number),
            breaker: Breaker::default(),
            health: Health::default(),
            evidence: Evidence::default(),
            held: false,
            pace: Pace::unknown(settings.concurrency),
            settings,
            backend,
            queue,
            clock,
            resume,
            per_call,
            gather_until: None,
            probe_untried: false,
            untried_missing: false,
            probe_last: false,
            digests,
            delivered_at: None,
        }
    }

    /// Works until `stop` gives the moment until which running calls may end.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<Option<Instant>>) {
        self.reporter.started();
        self.queue.wait_at_most(self.settings.number, self.settings.longest_wait());
        let began = Instant::now();
        self.restore_windows().await;
        self.restore_hold();
        let until = loop {
            let stopped = *stop.borrow_and_update();
            if let Some(until) = stopped {
                break until;
            }
            let work = self.work();
            let busy = self.calls.count() > 0;
            let fails_at = self.health.fails_at().filter(|_| self.reporter.is_unproven());
            let fails_at = fails_at.map(|at| self.clock.origin + at);
            tokio::select! {
                changed = stop.changed() => if changed.is_err() { return },
                ended = self.calls.ended(), if busy => self.finish(ended, &stop).await,
                written = self.writer.work() => if let Err(error) = written {
                    self.reporter.store_failed("record outcomes", &error);
                    self.settle(Vec::new(), None, &stop).await;
                },
                () = self.resume.notified() => self.resumed().await,
                broken = self.check.ended(), if self.check.is_running() => {
                    if let Some(reason) = broken {
                        self.break_off(reason).await;
                    }
                }
                () = sleep_until(fails_at.unwrap_or(began)), if fails_at.is_some() => {
                    self.report_health();
                }
                claimed = claim(&*self.queue, &self.settings, work) => {
                    self.begin(claimed, work, &stop).await;
                }
            }
        };
        self.drain(until, &stop).await;
    }

    fn work(&self) -> Work {
        let left_jobs = self.backend.left_jobs();
        let free = self.free_calls();
        let permit = self.breaker.permit(self.clock.elapsed());
        match permit {
            Permit::Wait { until } if self.held => self.held_work(Some(self.clock.origin + until)),
            Permit::Wait { until } => Work::Wait(self.clock.origin + until),
            // The end of such a job wakes nothing.
            _ if free == 0 && left_jobs > 0 => Work::Wait(Instant::now() + LEFT_JOBS_PAUSE),
            _ if free == 0 || self.writer.is_full() => Work::Full,
            Permit::All => match self.gather_until {
                Some(until) => Work::Wait(until),
                None => Work::Claim { max: free * self.deliveries_per_call() },
            },
            Permit::Probe if self.calls.is_probing() => Work::Full,
            Permit::Probe if self.held => self.held_work(None),
            Permit::Probe => self.probe(),
        }
    }

    /// How many more calls may start now.
    fn free_calls(&self) -> usize {
        let taken = self.calls.count() + self.backend.left_jobs();
        self.settings.concurrency.max(1).saturating_sub(taken)
    }

    /// Most deliveries that one call gets, together or in sequence.
    fn deliveries_per_call(&self) -> usize {
        if self.per_call > 1 { self.per_call } else { self.pace.deliveries() }
    }

    fn has_untried(&self) -> bool {
        let depth = self.queue.depth(self.settings.number);
        depth.pending > depth.retrying + depth.in_flight
    }

    /// Starts calls for what was claimed.
    async fn begin(
        &mut self,
        claimed: Result<Vec<Delivery>, StoreError>,
        work: Work,
        stop: &watch::Receiver<Option<Instant>>,
    ) {
        self.gather_until = match (&claimed, work) {
            (Ok(some), Work::Claim { max }) if self.per_call > 1 && some.len() < max => {
                Some(Instant::now() + BATCH_PAUSE)
            }
            _ => None,
        };
        let mut deliveries = match claimed {
            Ok(deliveries) => self.unwrap(deliveries),
            Err(error) => {
                self.reporter.store_failed("claim deliveries", &error);
                // Calls that end meanwhile also wait for the store, so noticing them later costs nothing.
                return sleep(STORE_PAUSE).await;
            }
        };
        if self.held && self.queue.held(self.settings.number).is_none() {
            self.resumed().await;
        }
        let probe = matches!(work, Work::Probe { .. });
        self.untried_missing =
            matches!(work, Work::Probe { untried: true, .. }) && deliveries.is_empty();
        if probe && deliveries.len() > 1 {
            let others = self.choose(&mut deliveries);
            self.settle(others, None, stop).await;
        }
        if let Some(mut digests) = self.digests.take() {
            self.begin_messages(&mut digests, deliveries, probe, stop).await;
            self.digests = Some(digests);
            return;
        }
        self.probe_untried ^= probe;
        let began_at = self.queue.now();
        // No delivery waits behind another while a further call may start.
        let share = match self.per_call {
            1 => deliveries.len().div_ceil(self.free_calls().max(1)),
            together => together,
        };
        while !deliveries.is_empty() {
            let rest = deliveries.split_off(share.min(deliveries.len()));
            let load = Load::Several(deliveries.into());
            self.calls.start(Start { load, timeout: self.settings.timeout, began_at, probe });
            deliveries = rest;
        }
    }

    /// Sets the time of the first attempt of deliveries that were attempted before.
    fn unwrap(&self, mut deliveries: Vec<Delivery>) -> Vec<Delivery> {
        let now = self.queue.now();
        for delivery in &mut deliveries {
            tried::unwrap(&self.clock, now, delivery);
        }
        deliveries
    }

    /// Lets running calls end until the given moment, then cuts them.
    async fn drain(&mut self, until: Instant, stop: &watch::Receiver<Option<Instant>>) {
        // Settled first, because an attempt may take all of the time.
        let _ = timeout_at(until, self.settle(Vec::new(), None, stop)).await;
        while !self.calls.is_idle() {
            match timeout_at(until, self.calls.ended()).await {
                Ok(ended) => self.finish(ended, stop).await,
                Err(_) => break,
            }
        }
        // An event that may have arrived must not be sent again if the policy forbids it.
        let may_repeat = self.settings.policy.maybe_sent != MaybeSent::DeadLetter;
        let mut outcomes = Vec::new();
        for mut ended in self.calls.cut_all() {
            let mut released = std::mem::take(&mut ended.untried);
            if may_repeat {
                released.extend(ended.forget_cut());
            }
            outcomes.extend(released.into_iter().map(release));
            if let Load::Message(message) = ended.call.load.clone() {
                let Some(verdict) = ended.verdicts.pop() else { continue };
                outcomes.extend(self.decide_message(&message, &ended, verdict).outcomes);
            } else {
                self.decide(ended, &mut outcomes);
            }
        }
        // If the store does not answer, the leases end with the process.
        let _ = timeout_at(until + STOP_MARGIN / 2, self.settle(outcomes, None, stop)).await;
    }
}

const fn release(event: EventId) -> Settlement {
    Settlement { event, outcome: Outcome::Release }
}
