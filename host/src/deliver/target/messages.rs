//! A target with a digest: from claimed deliveries to messages, and from a verdict to the outcomes of all members.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::super::calls::{Ended, Load, Start};
use super::super::digest::{Digests, Gathered, Message};
use super::super::report::failed_attempt;
use super::super::tried;
use super::Target;
use crate::model::{Delivery, FailureKind, Timestamp, Verdict};
use crate::retry::{self, Decision, FinishedAttempt};
use crate::store::{DIGEST_EVENTS_MAX, Outcome, Settlement, Window};
use crate::telemetry::AlarmKind;

/// Events that arrive within this time of each other share a message: a request often brings several.
const GATHER_PAUSE: Duration = Duration::from_millis(100);
/// The longest time that a message waits for more events.
const GATHER_MAX: Duration = Duration::from_secs(1);

/// What becomes of all members of a message.
pub(super) struct DecidedMessage {
    pub(super) outcomes: Vec<Settlement>,
    /// The window that the message opened. `None`: the message was not attempted.
    pub(super) window: Option<Window>,
}

/// A target that took a message so recently takes some, however many it refuses in a row.
const ACCEPTS: Duration = Duration::from_secs(3_600);

impl Target {
    /// Restores the windows that the store has recorded.
    pub(super) async fn restore_windows(&mut self) {
        let Some(digests) = &mut self.digests else { return };
        match self.queue.windows(self.settings.number).await {
            Ok(windows) => digests.restore(windows, self.queue.now()),
            Err(error) => self.reporter.store_failed("read the windows of digests", &error),
        }
    }

    /// Starts a message for each group that may have one now. The other deliveries wait in the store.
    pub(super) async fn begin_messages(
        &mut self,
        digests: &mut Digests,
        first: Vec<Delivery>,
        probe: bool,
        stop: &watch::Receiver<Option<Instant>>,
    ) {
        let (mut gathered, until) = (Gathered::default(), Instant::now() + GATHER_MAX);
        let mut next = first;
        while !next.is_empty() {
            digests.gather(&mut gathered, next, self.queue.now());
            let room = DIGEST_EVENTS_MAX.saturating_sub(gathered.count);
            if room == 0 {
                break;
            }
            let pause = until.min(Instant::now() + GATHER_PAUSE);
            let more = self.queue.claim(self.settings.number, room, self.settings.lease());
            // The next claim reports a failure of the store.
            let more = timeout_at(pause, more).await.ok().and_then(Result::ok);
            next = self.unwrap(more.unwrap_or_default());
        }
        let mut waiting = std::mem::take(&mut gathered.waiting);
        let began_at = self.queue.now();
        let free = self.free_calls();
        let mut free = if probe { free.min(1) } else { free };
        for message in gathered.into_messages() {
            if free == 0 {
                waiting.extend(digests.cancel(&message));
                continue;
            }
            free -= 1;
            let load = Load::Message(Arc::new(message));
            self.calls.start(Start { load, timeout: self.settings.timeout, began_at, probe });
        }
        self.settle(waiting, None, stop).await;
    }

    /// Decides about a message.
    pub(super) fn decide_message(
        &mut self,
        message: &Message,
        ended: &Ended,
        verdict: Verdict,
    ) -> DecidedMessage {
        let (now, wall) = (self.queue.now(), self.clock.wall());
        let Some(first) = message.members.first().copied() else {
            return DecidedMessage { outcomes: Vec::new(), window: None };
        };
        for delivery in &message.digest.sample {
            self.reporter.attempt(delivery, &verdict, ended.took.at(0));
        }
        if verdict.is_ok() {
            self.reporter.delivered(wall);
        }
        let failed = failed_attempt(message.attempt, &verdict, wall);
        let first_at = message.first_attempt_at.unwrap_or(ended.call.began_at);
        let halved = self.is_halved(message, &verdict, first_at);
        if verdict.is_ok() {
            self.delivered_at = Some(now);
        }
        let attempt = FinishedAttempt {
            number: message.counted_attempt(),
            first_at,
            ended_at: now,
            verdict,
            broken: self.breaker.is_broken(),
        };
        let tried = tried::wrap(&self.clock, now.since(first_at), &[]);
        let decision = retry::decide(&self.settings.policy, attempt, fastrand::f64());
        if let Some(failed) = failed {
            let counted =
                !matches!(&decision, Decision::Hold { progress, .. } if progress.is_empty());
            self.reporter.record_failure(failed, &message.members, counted);
        }
        let outcomes = match decision {
            Decision::Delivered(receipt) => message.delivered(&receipt),
            Decision::Dead { reason } if halved == Some(FailureKind::Reject) => {
                self.reporter.log.failed(first, message.attempt, &reason);
                message.halve(now, &reason, &tried)
            }
            Decision::RetryAt { at, reason, .. } if halved.is_some() => {
                self.reporter.log.failed(first, message.attempt, &reason);
                message.halve(at, &reason, &tried)
            }
            Decision::Dead { reason } => {
                self.reporter.log.dead(first, message.attempt, &reason);
                if !ended.call.load.is_own() {
                    self.reporter.alarm(AlarmKind::DeadLetter, message.digest.count, &reason);
                }
                message.dead(&reason)
            }
            Decision::RetryAt { at, reason, progress } => {
                self.reporter.log.failed(first, message.attempt, &reason);
                message.retry(at, &reason, (&tried, &progress))
            }
            Decision::Hold { progress, .. } if progress.is_empty() => {
                return DecidedMessage { outcomes: self.cancel(message), window: None };
            }
            Decision::Hold { wait, reason, progress } => {
                message.retry(self.after_hold(wait, now), &reason, (&tried, &progress))
            }
        };
        DecidedMessage { outcomes, window: Some(message.window) }
    }

    /// Why a message is sent again in two halves, if it is: it was refused, which may be the fault of one of its events.
    /// Not by a target that refuses everything and has accepted nothing for [`ACCEPTS`]: halves would only be more
    /// requests. A verdict "broken" is of an event only if the target has accepted something since.
    fn is_halved(
        &self,
        message: &Message,
        verdict: &Verdict,
        first_at: Timestamp,
    ) -> Option<FailureKind> {
        let kind = verdict.as_ref().err()?.kind;
        let works = || self.delivered_at.is_some_and(|at| at >= first_at);
        let refused = match kind {
            FailureKind::Reject => true,
            FailureKind::Broken => works(),
            FailureKind::Retry | FailureKind::Throttled => false,
        };
        let accepts = || {
            let now = self.queue.now();
            self.delivered_at.is_some_and(|at| now.since(at) < ACCEPTS)
        };
        let is_useful = !self.breaker.rejects_everything() || accepts();
        (refused && message.members.len() > 1 && is_useful).then_some(kind)
    }

    /// Releases the events of a message that does not count as attempted.
    fn cancel(&mut self, message: &Message) -> Vec<Settlement> {
        match &mut self.digests {
            Some(digests) => digests.cancel(message),
            None => message.all(|_| Outcome::Release),
        }
    }
}
