//! A target that cannot work as it is configured: the evidence for it, its hold, and its resume.

use super::super::calls::{Ended, Load};
use super::Target;
use crate::model::{EventId, Failure, FailureKind, Verdict};
use crate::retry::{Breaker, Change, Sign};
use crate::store::{Hold, HoldKind};

impl Target {
    /// Collects the evidence of a call. Returns why the target is broken, if that is known and no hold says so yet.
    pub(super) fn judge(&mut self, ended: &Ended) -> Option<String> {
        if ended.verdicts.iter().all(Result::is_ok) {
            self.works();
            return None;
        }
        if self.held {
            // The call began before the hold.
            return None;
        }
        let mut reason = None;
        for (event, verdict) in judged(ended, self.per_call > 1) {
            match verdict {
                Ok(_) => {
                    self.works();
                    reason = None;
                }
                Err(failure) if failure.kind == FailureKind::Broken => {
                    let known = self.evidence.add(event) || self.breaker.is_broken();
                    reason = known.then(|| failure.reason.clone()).or(reason);
                }
                Err(_) => {}
            }
        }
        if reason.is_none() && !self.evidence.is_empty() && ended.verdicts.iter().any(is_broken) {
            self.check.start(self.settings.timeout);
        }
        reason
    }

    fn works(&mut self) {
        if !self.evidence.is_empty() {
            self.evidence.clear();
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

    /// Holds all deliveries until a person resumes the target. If the store cannot record the hold, the deliveries
    /// wait all the same, and the target is probed.
    pub(super) async fn hold(&mut self, reason: String) {
        if self.queue.held(self.settings.number).is_none() {
            let hold = Hold { kind: HoldKind::Broken, reason, since: self.clock.wall() };
            if let Err(error) = self.queue.hold(self.settings.number, Some(hold)).await {
                return self.reporter.store_failed("hold the target", &error);
            }
        }
        self.held = true;
    }

    /// A person resumed the target: nothing that was known of it counts any more, so that the event which was its
    /// last evidence does not hold it again.
    pub(super) fn resumed(&mut self) {
        self.held = false;
        self.breaker = Breaker::default();
        self.evidence.clear();
        self.check.cancel();
        self.health.forget();
        self.reporter.resumed();
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
