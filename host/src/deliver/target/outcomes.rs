//! From the verdicts of ended calls to outcomes.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::super::calls::{Ended, Load};
use super::super::report::failed_attempt;
use super::super::tried;
use super::broken::Judgement;
use super::{Target, release};
use crate::model::{Delivery, Timestamp};
use crate::retry::verdicts::{all_refused, failures, rejection, signs};
use crate::retry::{self, Change, Decision, FinishedAttempt, Sign};
use crate::store::{Outcome, Settlement};

impl Target {
    /// Decides about calls that ended, and settles their deliveries.
    pub(super) async fn finish(
        &mut self,
        ended: Vec<Ended>,
        stop: &watch::Receiver<Option<Instant>>,
    ) {
        let mut outcomes = Vec::new();
        let mut probe_failed = None;
        let mut broken = None;
        for ended in ended {
            let shown = self.judge(&ended);
            let reason = self.observe(&ended, &shown);
            if ended.call.probe && self.breaker.is_held() {
                probe_failed = reason;
            }
            if let Judgement::Broken(why) = shown {
                broken.get_or_insert(why);
            }
            outcomes.extend(ended.untried.iter().copied().map(release));
            if let Load::Message(message) = ended.call.load.clone() {
                let Some(verdict) = ended.verdicts.first().cloned() else { continue };
                let decided = self.decide_message(&message, &ended, verdict);
                self.settle(decided.outcomes, decided.window, stop).await;
            } else {
                self.decide(ended, &mut outcomes);
            }
        }
        let done = |s: &Settlement| matches!(s.outcome, Outcome::Delivered { .. });
        if outcomes.iter().all(done) && !self.breaker.is_held() {
            self.writer.add(outcomes);
        } else {
            self.settle(outcomes, None, stop).await;
        }
        match (broken, probe_failed) {
            (Some(reason), _) => self.hold(reason).await,
            (None, _) if self.held && !self.breaker.is_held() => self.let_go().await,
            (None, Some(reason)) if !self.held => self.expire(&reason).await,
            (None, _) => {}
        }
    }

    /// Gives the circuit breaker and the health what a call showed of the target, and returns the reason of its first
    /// failure.
    fn observe(&mut self, ended: &Ended, shown: &Judgement) -> Option<String> {
        let mut reason = None;
        let (now, own) = (self.clock.elapsed(), || ended.call.load.is_own());
        let first_attempts = match &ended.call.load {
            Load::Several(list) => list.iter().filter(|delivery| delivery.attempt == 1).count(),
            Load::Message(message) => usize::from(message.attempt == 1),
        };
        let mut signs = match shown {
            Judgement::Broken(_) => vec![Sign::Broken],
            Judgement::Nothing | Judgement::Suspected => signs(first_attempts, &ended.verdicts),
        };
        let refused_probe = ended.call.probe && all_refused(&ended.verdicts);
        if matches!(shown, Judgement::Suspected)
            || refused_probe && !matches!(shown, Judgement::Broken(_))
        {
            signs.push(Sign::Suspected);
        }
        for sign in signs {
            let failures = ended.verdicts.iter().filter_map(|verdict| verdict.as_ref().err());
            let text = failures.map(|failure| failure.reason.as_str()).next().unwrap_or_default();
            if sign == Sign::Alive {
                self.reporter.log.delivered();
            }
            if let Some(change) = self.breaker.observe(sign, ended.call.probe, now) {
                if matches!(change, Change::Recovered { .. }) {
                    // A rejection shows that it answers, not that it works.
                    self.health.forget();
                }
                self.reporter.changed(change, text, own());
            }
            if matches!(sign, Sign::Throttled(_))
                && let Some(until) = self.breaker.throttled_until()
            {
                let until = self.clock.wall().plus(until.saturating_sub(now));
                self.reporter.throttled(until, text);
            }
            reason = Some(text.to_owned());
        }
        if ended.verdicts.iter().any(Result::is_ok) {
            let failed_for = self.health.succeeded(now);
            self.reporter.works(failed_for);
        } else if let Some((attempts, error)) = failures(&ended.verdicts) {
            // A call that takes many deliveries is one attempt.
            let attempts = if self.per_call > 1 { 1 } else { attempts };
            self.health.failed(attempts, now);
            self.reporter.failed(error, own());
            self.report_health();
        } else if let Some(reason) = rejection(&ended.verdicts) {
            self.reporter.rejects(reason);
        }
        reason
    }

    /// Reports what the attempts so far show of the target.
    pub(super) fn report_health(&mut self) {
        let standing = self.health.standing(self.clock.elapsed());
        self.reporter.stands(standing, self.health.failures());
    }

    /// Adds the outcome of each delivery of a call.
    pub(super) fn decide(&mut self, ended: Ended, outcomes: &mut Vec<Settlement>) {
        let Ended { call, verdicts, took, .. } = ended;
        let Load::Several(deliveries) = &call.load else { return };
        let (now, wall) = (self.queue.now(), self.clock.wall());
        if verdicts.iter().any(Result::is_ok) {
            self.reporter.delivered(wall);
        }
        // In a sequence each delivery is attempted on its own, whatever became of the one before.
        let together = self.per_call > 1;
        for (place, (delivery, verdict)) in deliveries.iter().zip(verdicts).enumerate() {
            self.reporter.attempt(delivery, &verdict, took.at(place));
            self.pace.add(took.at(place));
            let failed = failed_attempt(delivery.attempt, &verdict, wall);
            let first_at = delivery.first_attempt_at.unwrap_or(call.began_at);
            let attempt = FinishedAttempt {
                number: delivery.attempt,
                first_at,
                ended_at: now,
                verdict,
                broken: self.breaker.is_broken(),
            };
            let decision = retry::decide(&self.settings.policy, attempt, fastrand::f64());
            let times = (first_at, now);
            let outcome = self.outcome(decision, delivery, together && place > 0, times);
            let event = delivery.event.id;
            if let Some(failed) = failed {
                let counted = outcome != Outcome::Release;
                self.reporter.record_failure(failed, &[event], counted);
            }
            outcomes.push(Settlement { event, outcome });
        }
    }

    /// `rest`: another delivery of the same call came before this one.
    fn outcome(
        &mut self,
        decision: Decision,
        delivery: &Delivery,
        rest: bool,
        (first_at, now): (Timestamp, Timestamp),
    ) -> Outcome {
        let (event, attempt) = (delivery.event.id, delivery.attempt);
        match decision {
            Decision::Delivered(receipt) => Outcome::Delivered { receipt },
            Decision::Dead { reason } => {
                self.reporter.dead(delivery, &reason);
                Outcome::Dead { reason }
            }
            Decision::RetryAt { at, reason, progress } => {
                self.reporter.log.failed(event, attempt, &reason);
                // If a call found its target down, the rest of its deliveries stay where they were, unless the
                // attempt left progress to remember.
                let untried = attempt == 1 && rest && progress.is_empty();
                let uncounted = self.settings.policy.attempts_max.is_none();
                if self.breaker.is_held() && untried && uncounted {
                    Outcome::Release
                } else {
                    let progress = tried::wrap(&self.clock, now.since(first_at), &progress);
                    Outcome::Retry { at, reason, progress }
                }
            }
            Decision::Hold { progress, .. } if progress.is_empty() => Outcome::Release,
            Decision::Hold { wait, reason, progress } => {
                let at = self.after_hold(wait, now);
                let progress = tried::wrap(&self.clock, now.since(first_at), &progress);
                Outcome::Retry { at, reason, progress }
            }
        }
    }

    /// When a delivery with progress is attempted again after the target was throttled or broken.
    pub(super) fn after_hold(&self, wait: Option<Duration>, now: Timestamp) -> Timestamp {
        now.plus(wait.unwrap_or(self.settings.policy.backoff_min))
    }
}
