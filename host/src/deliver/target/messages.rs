//! A target that gathers: from claimed deliveries to messages, and from a verdict to all members.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::super::calls::{Ended, Load};
use super::super::digest::{Digests, Gathered, Set};
use super::{Target, lease};
use crate::model::{Delivery, Verdict};
use crate::retry::{self, Decision};
use crate::store::{DIGEST_EVENTS_MAX, Outcome, Settlement, Window};
use crate::telemetry::AlarmKind;

/// What comes in so soon after an event belongs to the same message: a request brings many.
const GATHER_PAUSE: Duration = Duration::from_millis(100);
/// The longest that this makes a message wait.
const GATHER_MAX: Duration = Duration::from_secs(1);

impl Target {
    /// Brings back what the store knows of the windows.
    pub(super) async fn restore_windows(&mut self) {
        let Some(digests) = &mut self.digests else { return };
        match self.queue.windows(self.settings.number).await {
            Ok(windows) => digests.restore(windows),
            Err(error) => self.journal.store_failed("tell what is gathered for digests", &error),
        }
    }

    /// Starts a message for each group that may have one now; the rest waits in the store.
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
            digests.gather(&mut gathered, next, self.clock.wall());
            let room = DIGEST_EVENTS_MAX.saturating_sub(gathered.count);
            if room == 0 {
                break;
            }
            let pause = until.min(Instant::now() + GATHER_PAUSE);
            let more = self.queue.claim(self.settings.number, room, lease(&self.settings));
            // A failure of the store is told by the next claim.
            next = timeout_at(pause, more).await.ok().and_then(Result::ok).unwrap_or_default();
        }
        let mut waiting = std::mem::take(&mut gathered.waiting);
        let began_at = self.clock.wall();
        let free = self.free_slots();
        let mut free = if probe { free.min(1) } else { free };
        for set in gathered.into_sets() {
            if free == 0 {
                waiting.extend(digests.cancel(&set));
                continue;
            }
            free -= 1;
            let (load, timeout) = (Load::Message(Arc::new(set)), self.settings.timeout);
            self.calls.start(load, timeout, began_at, probe);
        }
        self.settle(waiting, None, stop).await;
    }

    /// What becomes of all members of a message.
    pub(super) fn decide_message(
        &mut self,
        set: &Set,
        ended: &Ended,
        verdict: Verdict,
    ) -> (Vec<Settlement>, Option<Window>) {
        let now = self.clock.wall();
        let Some(first) = set.members.first().copied() else { return (Vec::new(), None) };
        for delivery in &set.digest.sample {
            self.note(delivery, &verdict, ended.took.at(0));
        }
        let first_attempt_at = set.first_attempt_at.unwrap_or(ended.call.began_at);
        let policy = &self.settings.policy;
        let jitter = fastrand::f64();
        let decision = retry::decide(policy, set.attempt, first_attempt_at, verdict, now, jitter);
        let outcomes = match decision {
            Decision::Delivered(receipt) => set.delivered(&receipt),
            Decision::Dead { reason } => {
                self.journal.dead(first, set.attempt, &reason);
                if !ended.call.load.is_own() {
                    self.raise(AlarmKind::DeadLetter, set.digest.count, &reason);
                }
                set.dead(&reason)
            }
            Decision::RetryAt { at, reason, progress } => {
                self.journal.failed(first, set.attempt, &reason);
                set.again(at, &reason, &progress)
            }
            Decision::Hold { progress, .. } if progress.is_empty() => {
                return (self.give_back(set), None);
            }
            Decision::Hold { wait, reason, progress } => {
                let at = now.plus(wait.unwrap_or(self.settings.policy.backoff_min));
                set.again(at, &reason, &progress)
            }
        };
        (outcomes, Some(set.window))
    }

    /// It was not taken, or nobody knows: its events are as they were.
    pub(super) fn give_back(&mut self, set: &Set) -> Vec<Settlement> {
        match &mut self.digests {
            Some(digests) => digests.cancel(set),
            None => set.all(|_| Outcome::Release),
        }
    }
}
