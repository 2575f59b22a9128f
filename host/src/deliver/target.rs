//! The life of one target: claim, call, decide, settle.

mod messages;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::calls::{Calls, Ended, Load};
use super::digest::Digests;
use super::journal::Journal;
use super::ledger::Ledger;
use super::turns::Pace;
use super::{Backend, CUT_MARGIN, Clock, LEASE_MARGIN, STOP_MARGIN, Settings};
use crate::model::{Delivery, EventId, FailureKind, OWN_SOURCE, Timestamp, Verdict};
use crate::retry::{self, Breaker, Cause, Change, Decision, MaybeSent, Permit, Sign};
use crate::store::{
    DIGEST_EVENTS_MAX, Hold, HoldKind, Outcome, Queue, Settlement, StoreError, Window,
};
use crate::telemetry::{AlarmKind, Attempt, Feed, Note};

/// Wait after a failure of the store, before it is asked again.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Wait before work that its call has left is looked at again.
const LEFT_JOBS_PAUSE: Duration = Duration::from_millis(200);

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
    ledger: Ledger,
    /// Deliveries a call.
    per_call: usize,
    /// Of one delivery; how many a slot gets in turn follows from it.
    pace: Pace,
    /// Nothing new is claimed before.
    gather_until: Option<Instant>,
    /// Every other probe takes a delivery that was never tried: retries go first in the queue, and
    /// those of events that always fail would be all that is ever probed with.
    probes_untried: bool,
    /// People were told that it is held.
    told_held: bool,
    /// For a target whose deliveries become messages.
    digests: Option<Digests>,
}

impl Target {
    pub(super) fn new(
        settings: Settings,
        backend: Arc<dyn Backend>,
        queue: Arc<dyn Queue>,
        feed: Feed,
        (clock, calls): (Clock, Calls),
    ) -> Self {
        let digests = settings.digest.clone().map(Digests::new);
        let per_call = match backend.one_by_one() {
            true => 1,
            false if digests.is_some() => DIGEST_EVENTS_MAX,
            false => settings.batch_max.max(1),
        };
        let journal = Journal::new(Arc::clone(&settings.name));
        let ledger = Ledger::new(Arc::clone(&queue), settings.number);
        let (breaker, pace) = (Breaker::default(), Pace::unknown(settings.concurrency));
        Self {
            settings,
            backend,
            queue,
            feed,
            clock,
            breaker,
            calls,
            journal,
            ledger,
            per_call,
            pace,
            gather_until: None,
            probes_untried: false,
            told_held: false,
            digests,
        }
    }

    /// Works until `stop` gives the moment until which running calls may end.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<Option<Instant>>) {
        // What was said of an instance before this one is not true of it.
        self.feed.history().condition(&self.settings.name, None);
        self.restore_windows().await;
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
                taken = self.ledger.work() => if let Err(error) = taken {
                    self.journal.store_failed("record outcomes", &error);
                    self.settle(Vec::new(), None, &stop).await;
                },
                claimed = claim(&*self.queue, &self.settings, work) => {
                    self.begin(claimed, work, &stop).await;
                }
            }
        };
        self.drain(until, &stop).await;
    }

    fn work(&self) -> Work {
        let left_jobs = self.backend.left_jobs();
        let free = self.free_slots();
        match self.breaker.permit(self.clock.elapsed()) {
            Permit::Wait { until } => Work::Wait(self.clock.origin + until),
            // Nobody tells when such work ends.
            _ if free == 0 && left_jobs > 0 => Work::Wait(Instant::now() + LEFT_JOBS_PAUSE),
            _ if free == 0 || self.ledger.is_full() => Work::Full,
            Permit::All => match self.gather_until {
                Some(until) => Work::Wait(until),
                None => Work::Claim { max: free * self.per_slot() },
            },
            Permit::Probe if self.calls.is_probing() => Work::Full,
            Permit::Probe => Work::Probe { untried: self.probes_untried && self.has_untried() },
        }
    }

    fn free_slots(&self) -> usize {
        let taken = self.calls.slots() + self.backend.left_jobs();
        self.settings.concurrency.max(1).saturating_sub(taken)
    }

    /// Most deliveries that a slot gets at once: together, or in turn.
    fn per_slot(&self) -> usize {
        if self.per_call > 1 { self.per_call } else { self.pace.turns() }
    }

    fn has_untried(&self) -> bool {
        let depth = self.queue.depth(self.settings.number);
        depth.pending > depth.retrying + depth.in_flight
    }

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
            Ok(deliveries) => deliveries,
            Err(error) => {
                self.journal.store_failed("give deliveries", &error);
                // Calls that end meanwhile are seen a pause later: the store is what they wait for too.
                return sleep(STORE_PAUSE).await;
            }
        };
        let probe = matches!(work, Work::Probe { .. });
        if let Some(mut digests) = self.digests.take() {
            self.begin_messages(&mut digests, deliveries, probe, stop).await;
            self.digests = Some(digests);
            return;
        }
        self.probes_untried ^= probe;
        let began_at = self.clock.wall();
        // Nobody waits for another's turn while a slot is free.
        let share = match self.per_call {
            1 => deliveries.len().div_ceil(self.free_slots().max(1)),
            together => together,
        };
        while !deliveries.is_empty() {
            let rest = deliveries.split_off(share.min(deliveries.len()));
            let timeout = self.settings.timeout;
            let load = Load::Several(deliveries.into());
            self.calls.start(load, timeout, began_at, probe);
            deliveries = rest;
        }
    }

    /// Decides on what calls answered, and settles it.
    async fn finish(&mut self, ended: Vec<Ended>, stop: &watch::Receiver<Option<Instant>>) {
        let mut outcomes = Vec::new();
        let mut probe_failed = None;
        let mut broken = None;
        for ended in ended {
            let reason = self.observe(&ended);
            if broken.is_none() {
                broken = broken_reason(&ended.verdicts);
            }
            if ended.call.probe && self.breaker.is_held() {
                probe_failed = reason;
            }
            outcomes.extend(ended.untried.iter().copied().map(release));
            if let Load::Message(set) = ended.call.load.clone() {
                let Some(verdict) = ended.verdicts.first().cloned() else { continue };
                let (outcomes, window) = self.decide_message(&set, &ended, verdict);
                self.settle(outcomes, window, stop).await;
            } else {
                self.decide(ended, &mut outcomes);
            }
        }
        let done = |s: &Settlement| matches!(s.outcome, Outcome::Delivered { .. });
        if outcomes.iter().all(done) && !self.breaker.is_held() {
            self.ledger.add(outcomes);
        } else {
            self.settle(outcomes, None, stop).await;
        }
        match broken {
            Some(reason) => self.hold(reason).await,
            None => {
                if let Some(reason) = probe_failed {
                    self.expire(&reason).await;
                }
            }
        }
    }

    /// Tells the breaker what a call showed; answers the reason of its first failure.
    fn observe(&mut self, ended: &Ended) -> Option<String> {
        let mut reason = None;
        let first_attempts = match &ended.call.load {
            Load::Several(list) => list.iter().filter(|delivery| delivery.attempt == 1).count(),
            Load::Message(set) => usize::from(set.attempt == 1),
        };
        for sign in signs(first_attempts, &ended.verdicts) {
            let failures = ended.verdicts.iter().filter_map(|verdict| verdict.as_ref().err());
            let text = failures.map(|failure| failure.reason.as_str()).next().unwrap_or_default();
            if sign == Sign::Alive {
                self.journal.delivered();
            }
            let change = self.breaker.observe(sign, ended.call.probe, self.clock.elapsed());
            if let Some(change) = change {
                self.journal.changed(change, text);
                let condition = match change {
                    Change::Held(cause) => Some(condition(cause, text)),
                    Change::Recovered { .. } => None,
                };
                self.feed.history().condition(&self.settings.name, condition);
                self.tell(change, text, &ended.call.load);
            }
            reason = Some(text.to_owned());
        }
        reason
    }

    /// Tells people of a change, unless it is about events that tell them something already.
    fn tell(&mut self, change: Change, reason: &str, load: &Load) {
        match change {
            Change::Held(Cause::Throttled) => {}
            Change::Held(_) if load.is_own() => {}
            Change::Held(cause) => {
                self.told_held = true;
                let broken = cause == Cause::Broken;
                let kind = if broken { AlarmKind::TargetBroken } else { AlarmKind::TargetDown };
                self.raise(kind, 1, reason);
            }
            Change::Recovered { held_for } => {
                if std::mem::take(&mut self.told_held) {
                    let after = format!("after {} s", held_for.as_secs());
                    self.raise(AlarmKind::TargetRecovered, 1, &after);
                }
            }
        }
    }

    fn raise(&self, kind: AlarmKind, count: u64, reason: &str) {
        self.feed.alarms().raise(kind, &self.settings.name, count, reason);
    }

    fn decide(&mut self, ended: Ended, outcomes: &mut Vec<Settlement>) {
        let Ended { call, verdicts, took, .. } = ended;
        let Load::Several(deliveries) = &call.load else { return };
        let now = self.clock.wall();
        if verdicts.iter().any(Result::is_ok) {
            self.feed.history().delivered(&self.settings.name, now.as_millis());
        }
        // In turn means: each was tried, whatever became of the one before.
        let together = self.per_call > 1;
        for (place, (delivery, verdict)) in deliveries.iter().zip(verdicts).enumerate() {
            self.note(delivery, &verdict, took.at(place));
            self.pace.add(took.at(place));
            self.remember(delivery, &verdict, now);
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
            outcomes.push(Settlement {
                event,
                outcome: self.outcome(decision, delivery, together && place > 0, now),
            });
        }
    }

    fn outcome(
        &mut self,
        decision: Decision,
        delivery: &Delivery,
        rest: bool,
        now: Timestamp,
    ) -> Outcome {
        let (event, attempt) = (delivery.event.id, delivery.attempt);
        match decision {
            Decision::Delivered(receipt) => Outcome::Delivered { receipt },
            Decision::Dead { reason } => {
                self.journal.dead(event, attempt, &reason);
                if &*delivery.event.source != OWN_SOURCE {
                    self.raise(AlarmKind::DeadLetter, 1, &reason);
                }
                Outcome::Dead { reason }
            }
            Decision::RetryAt { at, reason, progress } => {
                self.journal.failed(event, attempt, &reason);
                // The rest of a call that found its target down waits where it was, unless there is
                // something to remember of the attempt.
                let untried = attempt == 1 && rest && progress.is_empty();
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

    /// Keeps a failure for who asks later.
    fn remember(&self, delivery: &Delivery, verdict: &Verdict, now: Timestamp) {
        let Err(failure) = verdict else { return };
        let attempt = Attempt {
            at_ms: now.as_millis(),
            event: delivery.event.id.to_string(),
            attempt: delivery.attempt,
            verdict: failure.kind.as_str(),
            reason: failure.reason.clone(),
        };
        self.feed.history().failed(&self.settings.name, attempt);
    }

    /// Settles, what the ledger has before, until the store takes it, or the daemon's stop leaves no more
    /// time: then it all comes again. `window`: they are those of one message, which opened it.
    async fn settle(
        &mut self,
        mut outcomes: Vec<Settlement>,
        window: Option<Window>,
        stop: &watch::Receiver<Option<Instant>>,
    ) {
        let number = self.settings.number;
        if !self.ledger.is_empty() {
            // A target of messages has nothing there.
            let (mut before, taken) = self.ledger.empty().await;
            if let Err(error) = taken {
                self.journal.store_failed("record outcomes", &error);
            }
            before.append(&mut outcomes);
            outcomes = before;
        }
        while !outcomes.is_empty() {
            let settled = match window {
                Some(window) => self.queue.settle_digest(number, outcomes.clone(), window),
                None => self.queue.settle(number, outcomes.clone()),
            };
            let Err(error) = settled.await else { return };
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

    /// Holds all deliveries until a person says that the target is mended. An engine that cannot keeps
    /// them all the same, and the target is probed.
    async fn hold(&mut self, reason: String) {
        if self.queue.held(self.settings.number).is_some() {
            return;
        }
        let hold = Hold { kind: HoldKind::Broken, reason, since: self.clock.wall() };
        if let Err(error) = self.queue.hold(self.settings.number, Some(hold)).await {
            self.journal.store_failed("hold the target", &error);
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
            Ok(count) => {
                self.journal.expired(count, &reason);
                self.raise(AlarmKind::DeadLetter, count, &reason);
            }
            Err(error) => self.journal.store_failed("give up old deliveries", &error),
        }
    }

    /// Lets running calls end until the given moment, then cuts them.
    async fn drain(&mut self, until: Instant, stop: &watch::Receiver<Option<Instant>>) {
        // Not left for the end: an attempt may take all of the time.
        let _ = timeout_at(until, self.settle(Vec::new(), None, stop)).await;
        while !self.calls.is_idle() {
            match timeout_at(until, self.calls.ended()).await {
                Ok(ended) => self.finish(ended, stop).await,
                Err(_) => break,
            }
        }
        // What may have arrived must not be sent again where the policy forbids it.
        let again = self.settings.policy.maybe_sent != MaybeSent::DeadLetter;
        let mut outcomes = Vec::new();
        for mut ended in self.calls.cut_all() {
            let mut given_back = std::mem::take(&mut ended.untried);
            if again {
                given_back.extend(ended.forget_cut());
            }
            outcomes.extend(given_back.into_iter().map(release));
            if let Load::Message(set) = ended.call.load.clone() {
                let Some(verdict) = ended.verdicts.pop() else { continue };
                outcomes.extend(self.decide_message(&set, &ended, verdict).0);
            } else {
                self.decide(ended, &mut outcomes);
            }
        }
        // A store that does not answer is left: the leases end with the process.
        let _ = timeout_at(until + STOP_MARGIN / 2, self.settle(outcomes, None, stop)).await;
    }
}

/// Why a held target does not work, in words.
fn condition(cause: Cause, reason: &str) -> String {
    match cause {
        Cause::Failing => format!("down, probing: {reason}"),
        Cause::Throttled => format!("asked for less, waiting: {reason}"),
        Cause::Broken => format!("broken: {reason}"),
    }
}

const fn release(event: EventId) -> Settlement {
    Settlement { event, outcome: Outcome::Release }
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

/// Why the target cannot work as it is configured, if a verdict says so.
fn broken_reason(verdicts: &[Verdict]) -> Option<String> {
    let mut failures = verdicts.iter().filter_map(|verdict| verdict.as_ref().err());
    failures.find(|failure| failure.kind == FailureKind::Broken).map(|f| f.reason.clone())
}

/// What the verdicts of one call show of the target: that it works, and whether it wants to be left alone.
fn signs(first_attempts: usize, verdicts: &[Verdict]) -> Vec<Sign> {
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
        signs.push(Sign::Failed(u32::try_from(first_attempts).unwrap_or(u32::MAX)));
    }
    signs
}
