//! The life of one target: claim, call, decide, settle.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::calls::{Calls, Ended};
use super::journal::Journal;
use super::{Backend, CUT_MARGIN, Clock, LEASE_MARGIN, STOP_MARGIN, Settings};
use crate::model::{Delivery, FailureKind, Timestamp, Verdict};
use crate::retry::{self, Breaker, Decision, MaybeSent, Permit, Sign};
use crate::store::{Outcome, Queue, Settlement, StoreError};
use crate::telemetry::{Feed, Note};

/// Wait after a failure of the store, before it is asked again.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// How long a probe waits for a delivery that was never tried.
const UNTRIED_WAIT: Duration = Duration::from_secs(1);

/// Rest after a claim that gave less than was asked for, of a target whose calls take many deliveries.
/// Under load it makes calls of what several group commits brought: each call wakes four threads, and
/// has an outcome to be recorded.
const BATCH_PAUSE: Duration = Duration::from_millis(5);

/// What a target may do next.
#[derive(Clone, Copy, Debug)]
enum Work {
    Claim {
        max: usize,
    },
    /// One delivery for a held target.
    Probe {
        untried: bool,
    },
    /// Held, or gathering a batch, until that moment.
    Wait(Instant),
    /// Every slot is taken.
    Full,
}

pub(super) struct Target {
    settings: Settings,
    backend: Arc<dyn Backend>,
    queue: Arc<dyn Queue>,
    feed: Feed,
    clock: Clock,
    breaker: Breaker,
    calls: Calls,
    journal: Journal,
    /// Deliveries a call.
    per_call: usize,
    /// Nothing new is claimed before.
    gather_until: Option<Instant>,
    /// Every other probe takes a delivery that was never tried: retries go first in the queue, and
    /// those of events that always fail would be all that is ever probed with.
    probes_untried: bool,
}

impl Target {
    pub(super) fn new(
        settings: Settings,
        backend: Arc<dyn Backend>,
        queue: Arc<dyn Queue>,
        feed: Feed,
        clock: Clock,
    ) -> Self {
        let per_call = if backend.one_by_one() { 1 } else { settings.batch_max.max(1) };
        let journal = Journal::new(Arc::clone(&settings.name));
        let (breaker, calls) = (Breaker::default(), Calls::default());
        Self {
            settings,
            backend,
            queue,
            feed,
            clock,
            breaker,
            calls,
            journal,
            per_call,
            gather_until: None,
            probes_untried: false,
        }
    }

    /// Works until `stop` gives the moment until which running calls may end.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<Option<Instant>>) {
        let until = loop {
            let stopped = *stop.borrow_and_update();
            if let Some(until) = stopped {
                break until;
            }
            let work = self.work();
            let busy = self.calls.slots() > 0;
            tokio::select! {
                changed = stop.changed() => if changed.is_err() { return },
                ended = self.calls.ended(), if busy => self.finish(ended, &stop).await,
                claimed = claim(&*self.queue, &self.settings, work) => self.begin(claimed, work).await,
            }
        };
        self.drain(until, &stop).await;
    }

    fn work(&self) -> Work {
        let free = self.settings.concurrency.max(1).saturating_sub(self.calls.slots());
        match self.breaker.permit(self.clock.elapsed()) {
            Permit::Wait { until } => Work::Wait(self.clock.origin + until),
            _ if free == 0 => Work::Full,
            Permit::All => match self.gather_until {
                Some(until) => Work::Wait(until),
                None => Work::Claim { max: free * self.per_call },
            },
            Permit::Probe if self.calls.is_probing() => Work::Full,
            Permit::Probe => Work::Probe { untried: self.probes_untried && self.has_untried() },
        }
    }

    fn has_untried(&self) -> bool {
        let depth = self.queue.depth(self.settings.number);
        depth.pending > depth.retrying + depth.in_flight
    }

    async fn begin(&mut self, claimed: Result<Vec<Delivery>, StoreError>, work: Work) {
        self.gather_until = match (&claimed, work) {
            (Ok(some), Work::Claim { max }) if self.per_call > 1 && some.len() < max => {
                Some(Instant::now() + BATCH_PAUSE)
            }
            _ => None,
        };
        let mut deliveries = match claimed {
            Ok(deliveries) => deliveries,
            Err(error) => {
                self.journal.store_failed("give deliveries", &error);
                // Calls that end meanwhile are seen a pause later: the store is what they wait for too.
                return sleep(STORE_PAUSE).await;
            }
        };
        let probe = matches!(work, Work::Probe { .. });
        self.probes_untried ^= probe;
        let began_at = self.clock.wall();
        while !deliveries.is_empty() {
            let rest = deliveries.split_off(self.per_call.min(deliveries.len()));
            let timeout = self.settings.timeout;
            self.calls.start(&self.backend, deliveries, timeout, began_at, probe);
            deliveries = rest;
        }
    }

    /// Decides on what calls answered, and settles it.
    async fn finish(&mut self, ended: Vec<Ended>, stop: &watch::Receiver<Option<Instant>>) {
        let mut outcomes = Vec::new();
        let mut probe_failed = None;
        for ended in ended {
            let reason = self.observe(&ended);
            if ended.call.probe && self.breaker.is_held() {
                probe_failed = reason;
            }
            self.decide(ended, &mut outcomes);
        }
        self.settle(outcomes, stop).await;
        if let Some(reason) = probe_failed {
            self.expire(&reason).await;
        }
    }

    /// Tells the breaker what a call showed; answers the reason of its first failure.
    fn observe(&mut self, ended: &Ended) -> Option<String> {
        let mut reason = None;
        for sign in signs(&ended.call.deliveries, &ended.verdicts) {
            let failures = ended.verdicts.iter().filter_map(|verdict| verdict.as_ref().err());
            let text = failures.map(|failure| failure.reason.as_str()).next().unwrap_or_default();
            if sign == Sign::Alive {
                self.journal.delivered();
            }
            let change = self.breaker.observe(sign, ended.call.probe, self.clock.elapsed());
            if let Some(change) = change {
                self.journal.changed(change, text);
            }
            reason = Some(text.to_owned());
        }
        reason
    }

    fn decide(&mut self, ended: Ended, outcomes: &mut Vec<Settlement>) {
        let Ended { call, verdicts, took } = ended;
        let now = self.clock.wall();
        for (place, (delivery, verdict)) in call.deliveries.iter().zip(verdicts).enumerate() {
            self.note(delivery, &verdict, took);
            let first_attempt_at = delivery.first_attempt_at.unwrap_or(call.began_at);
            let decision = retry::decide(
                &self.settings.policy,
                delivery.attempt,
                first_attempt_at,
                verdict,
                now,
                fastrand::f64(),
            );
            let event = delivery.event.id;
            outcomes
                .push(Settlement { event, outcome: self.outcome(decision, delivery, place, now) });
        }
    }

    fn outcome(
        &mut self,
        decision: Decision,
        delivery: &Delivery,
        place: usize,
        now: Timestamp,
    ) -> Outcome {
        let (event, attempt) = (delivery.event.id, delivery.attempt);
        match decision {
            Decision::Delivered(receipt) => Outcome::Delivered { receipt },
            Decision::Dead { reason } => {
                self.journal.dead(event, attempt, &reason);
                Outcome::Dead { reason }
            }
            Decision::RetryAt { at, reason, progress } => {
                self.journal.failed(event, attempt, &reason);
                // The rest of a call that found its target down waits where it was, unless there is
                // something to remember of the attempt.
                let untried = attempt == 1 && place > 0 && progress.is_empty();
                let uncounted = self.settings.policy.attempts_max.is_none();
                if self.breaker.is_held() && untried && uncounted {
                    Outcome::Release
                } else {
                    Outcome::Retry { at, reason, progress }
                }
            }
            Decision::Hold { progress, .. } if progress.is_empty() => Outcome::Release,
            Decision::Hold { wait, reason, progress, .. } => {
                let at = now.plus(wait.unwrap_or(self.settings.policy.backoff_min));
                Outcome::Retry { at, reason, progress }
            }
        }
    }

    fn note(&self, delivery: &Delivery, verdict: &Verdict, took: Duration) {
        self.feed.send(|| {
            let (target, event) = (Arc::clone(&self.settings.name), delivery.event.id.to_string());
            let attempt = delivery.attempt;
            match verdict {
                Ok(_) => Note::Delivered { target, event, attempt, took },
                Err(failure) => {
                    Note::Failed { target, event, attempt, reason: failure.reason.clone() }
                }
            }
        });
    }

    /// Settles until the store takes it, or the daemon's stop leaves no more time: then it all comes again.
    async fn settle(&mut self, outcomes: Vec<Settlement>, stop: &watch::Receiver<Option<Instant>>) {
        let number = self.settings.number;
        while !outcomes.is_empty() {
            let Err(error) = self.queue.settle(number, outcomes.clone()).await else { return };
            self.journal.store_failed("record outcomes", &error);
            let stopped = *stop.borrow();
            if stopped.is_some_and(|until| Instant::now() >= until) {
                return;
            }
            let mut held = self.calls.events();
            held.extend(outcomes.iter().map(|settlement| settlement.event));
            self.queue.extend(number, held, lease(&self.settings) + STORE_PAUSE);
            sleep(STORE_PAUSE).await;
        }
    }

    /// Gives up what has waited for a failing target as long as the policy allows.
    async fn expire(&mut self, reason: &str) {
        let limit = self.settings.policy.give_up_after;
        let failing_for = self.breaker.failing_for(self.clock.elapsed());
        if failing_for.is_none_or(|failing_for| failing_for < limit) {
            return;
        }
        // What came before the target failed has waited for it as long as the target has been failing.
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let before = self.clock.wall().as_millis().saturating_sub(limit_ms);
        let reason = format!("never tried: the target had been failing for too long: {reason}");
        let before = Timestamp::from_millis(before);
        match self.queue.expire(self.settings.number, before, reason.clone()).await {
            Ok(0) => {}
            Ok(count) => self.journal.expired(count, &reason),
            Err(error) => self.journal.store_failed("give up old deliveries", &error),
        }
    }

    /// Lets running calls end until the given moment, then cuts them.
    async fn drain(&mut self, until: Instant, stop: &watch::Receiver<Option<Instant>>) {
        while !self.calls.is_idle() {
            match timeout_at(until, self.calls.ended()).await {
                Ok(ended) => self.finish(ended, stop).await,
                Err(_) => break,
            }
        }
        let cut = self.calls.cut_all();
        let mut outcomes = Vec::new();
        if self.settings.policy.maybe_sent == MaybeSent::DeadLetter {
            // They may have arrived, and must not be sent again.
            cut.into_iter().for_each(|ended| self.decide(ended, &mut outcomes));
        } else {
            let deliveries = cut.iter().flat_map(|ended| ended.call.deliveries.iter());
            let release = |delivery: &Delivery| Settlement {
                event: delivery.event.id,
                outcome: Outcome::Release,
            };
            outcomes.extend(deliveries.map(release));
        }
        // A store that does not answer is left: the leases end with the process.
        let _ = timeout_at(until + STOP_MARGIN / 2, self.settle(outcomes, stop)).await;
    }
}

fn lease(settings: &Settings) -> Duration {
    settings.timeout + CUT_MARGIN + LEASE_MARGIN
}

async fn claim(
    queue: &dyn Queue,
    settings: &Settings,
    work: Work,
) -> Result<Vec<Delivery>, StoreError> {
    match work {
        Work::Claim { max } => queue.claim(settings.number, max, lease(settings)).await,
        Work::Probe { untried: false } => queue.claim(settings.number, 1, lease(settings)).await,
        Work::Probe { untried: true } => {
            // Not for long: meanwhile there may be retries to probe with.
            let claimed = queue.claim_untried(settings.number, 1, lease(settings));
            timeout(UNTRIED_WAIT, claimed).await.unwrap_or_else(|_| Ok(Vec::new()))
        }
        Work::Wait(until) => {
            sleep_until(until).await;
            Ok(Vec::new())
        }
        Work::Full => std::future::pending().await,
    }
}

/// What the verdicts of one call show of the target: that it works, and whether it wants to be left alone.
fn signs(deliveries: &[Delivery], verdicts: &[Verdict]) -> Vec<Sign> {
    let mut signs = Vec::with_capacity(2);
    let kind = |verdict: &Verdict| verdict.as_ref().err().map(|failure| failure.kind);
    let any = |wanted: FailureKind| verdicts.iter().any(|verdict| kind(verdict) == Some(wanted));
    let alive = any(FailureKind::Reject) || verdicts.iter().any(Result::is_ok);
    if alive {
        signs.push(Sign::Alive);
    }
    if any(FailureKind::Broken) {
        signs.push(Sign::Broken);
    } else if any(FailureKind::Throttled) {
        let failures = verdicts.iter().filter_map(|verdict| verdict.as_ref().err());
        let throttled = failures.filter(|failure| failure.kind == FailureKind::Throttled);
        let wait = throttled.filter_map(|failure| failure.after).max();
        signs.push(Sign::Throttled(wait.map(|wait| wait.min(retry::AFTER_MAX))));
    } else if !alive {
        // A retry that fails again tells of its event; only first attempts tell of the target.
        let first = deliveries.iter().filter(|delivery| delivery.attempt == 1).count();
        signs.push(Sign::Failed(u32::try_from(first).unwrap_or(u32::MAX)));
    }
    signs
}
