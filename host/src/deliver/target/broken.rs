//! A target that cannot work as it is configured: the evidence for it, its probes, its hold, and its resume.

use std::time::Duration;

use tokio::time::Instant;

use super::super::calls::{Ended, Load};
use super::claim::Work;
use super::{Target, release};
use crate::model::{Delivery, EventId, Failure, FailureKind, Verdict};
use crate::retry::{Breaker, Change, Finding, Sign};
use crate::store::{Hold, HoldKind, Settlement};

/// Of so many deliveries that were never tried, a probe of a suspected target takes the last one, and the next probe one
/// at random. The first ones may all be of one attack.
const PROBE_REACH: usize = 2_000;

/// How often a held target looks whether there is something to probe it with, or a person resumed it.
const LOOK_PAUSE: Duration = Duration::from_secs(10);

/// What the verdicts of a call show.
#[derive(Debug)]
pub(super) enum Judgement {
    Nothing,
    Suspected,
    /// With the reason.
    Broken(String),
}

impl Target {
    /// Collects the evidence of a call.
    pub(super) fn judge(&mut self, ended: &Ended) -> Judgement {
        if ended.verdicts.iter().all(Result::is_ok) {
            self.works();
            return Judgement::Nothing;
        }
        let probe = ended.call.probe;
        if self.held && !probe {
            // The call began before the hold.
            return Judgement::Nothing;
        }
        let (mut shown, now) = (Judgement::Nothing, self.clock.elapsed());
        for (event, verdict) in judged(ended, self.per_call > 1) {
            match verdict {
                Ok(_) => {
                    self.works();
                    shown = Judgement::Nothing;
                }
                Err(failure) if failure.kind == FailureKind::Broken => {
                    let finding = self.evidence.add(event, probe, now);
                    if finding == Finding::Broken || self.breaker.is_broken() {
                        shown = Judgement::Broken(failure.reason.clone());
                    } else if finding == Finding::Suspected {
                        shown = Judgement::Suspected;
                    }
                }
                Err(_) => {}
            }
        }
        let known = matches!(shown, Judgement::Broken(_));
        if !known && !self.evidence.is_empty() && ended.verdicts.iter().any(is_broken) {
            self.check.start(self.settings.timeout);
        }
        shown
    }

    fn works(&mut self) {
        if !self.evidence.is_empty() {
            self.evidence.succeeded(self.clock.elapsed());
            self.check.cancel();
        }
    }

    /// Takes in that a check without an event found the target broken.
    pub(super) async fn break_off(&mut self, reason: String) {
        if self.held || self.evidence.is_empty() {
            return;
        }
        let change = self.breaker.observe(Sign::Broken, false, self.clock.elapsed());
        if let Some(change @ Change::Held(_)) = change {
            self.reporter.changed(change, &reason, false);
        }
        self.hold(reason).await;
    }

    /// A hold from before the start of this instance stays.
    pub(super) fn restore_hold(&mut self) {
        if let Some(hold) = self.broken_hold() {
            self.breaker.observe(Sign::Broken, false, self.clock.elapsed());
            self.reporter.was_broken(&hold.reason);
            self.held = true;
        }
    }

    fn broken_hold(&self) -> Option<Hold> {
        let hold = self.queue.held(self.settings.number);
        hold.filter(|hold| hold.kind == HoldKind::Broken)
    }

    /// A probe of a target whose circuit breaker is open.
    pub(super) fn probe(&self) -> Work {
        let suspected = self.held || self.evidence.finding() != Finding::Nothing;
        let untried =
            (suspected && !self.untried_missing || self.probe_untried) && self.has_untried();
        Work::Probe { untried, max: if suspected && untried { self.probe_reach() } else { 1 } }
    }

    /// A message is made of what comes first.
    const fn probe_reach(&self) -> usize {
        if self.digests.is_some() { 1 } else { PROBE_REACH }
    }

    /// What a target that is held as broken may do: it waits for a person, and is probed meanwhile. A success ends the
    /// hold, but not an old one: its backlog may be of no use any more, which a person must decide.
    pub(super) fn held_work(&self, probe_at: Option<Instant>) -> Work {
        let give_up_after = self.settings.policy.give_up_after;
        let is_young = |hold: &Hold| self.clock.wall().since(hold.since) < give_up_after;
        let is_wanted = self.has_untried() && self.broken_hold().as_ref().is_some_and(is_young);
        match probe_at {
            None if is_wanted => Work::Probe { untried: true, max: self.probe_reach() },
            at => Work::Held { until: at.unwrap_or_else(|| Instant::now() + LOOK_PAUSE) },
        }
    }

    /// Chooses the delivery of a probe from those that were claimed for it, and releases the others.
    pub(super) fn choose(&mut self, deliveries: &mut Vec<Delivery>) -> Vec<Settlement> {
        self.probe_last = !self.probe_last;
        let place = match self.probe_last {
            true => deliveries.len() - 1,
            false => fastrand::usize(..deliveries.len()),
        };
        let chosen = deliveries.swap_remove(place);
        let others = std::mem::replace(deliveries, vec![chosen]);
        others.iter().map(|delivery| release(delivery.event.id)).collect()
    }

    /// Holds all deliveries until a person resumes the target or a probe succeeds. If the store cannot record the hold,
    /// the deliveries wait all the same, and the target is probed.
    pub(super) async fn hold(&mut self, reason: String) {
        if self.queue.held(self.settings.number).is_none() {
            let hold = Hold { kind: HoldKind::Broken, reason, since: self.clock.wall() };
            if let Err(error) = self.queue.hold(self.settings.number, Some(hold)).await {
                return self.reporter.store_failed("hold the target", &error);
            }
        }
        self.held = true;
    }

    /// A probe of the held target showed that it works.
    pub(super) async fn let_go(&mut self) {
        if self.broken_hold().is_some()
            && let Err(error) = self.queue.let_go(self.settings.number).await
        {
            // The store still holds it, so it is probed again.
            self.held = true;
            self.breaker.observe(Sign::Broken, false, self.clock.elapsed());
            return self.reporter.store_failed("let the target go", &error);
        }
        self.held = false;
        self.works();
    }

    /// A person resumed the target: nothing that was known of it counts any more.
    pub(super) async fn resumed(&mut self) {
        self.held = false;
        self.breaker = Breaker::default();
        self.evidence.forget();
        self.check.cancel();
        self.health.forget();
        self.reporter.resumed();
        // A hold that was on its way when the person resumed the target is of before.
        if self.broken_hold().is_some() {
            self.let_go().await;
        }
    }
}

fn is_broken(verdict: &Verdict) -> bool {
    matches!(verdict, Err(Failure { kind: FailureKind::Broken, .. }))
}

/// The verdicts that are evidence, each with its event. A call that takes many deliveries `together` is evidence
/// once: for a success, or for the event of its first verdict "broken".
fn judged(ended: &Ended, together: bool) -> Vec<(EventId, &Verdict)> {
    let events = match &ended.call.load {
        Load::Several(list) => list.iter().map(|delivery| delivery.event.id).collect(),
        Load::Message(message) => message.members.iter().copied().take(1).collect::<Vec<_>>(),
    };
    let all: Vec<_> = events.into_iter().zip(&ended.verdicts).collect();
    if !together {
        return all;
    }
    let first = |wanted: fn(&Verdict) -> bool| all.iter().find(|(_, verdict)| wanted(verdict));
    first(Result::is_ok).or_else(|| first(is_broken)).into_iter().copied().collect()
}
