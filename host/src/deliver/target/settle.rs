//! What a target writes to the store: outcomes, and the deliveries it gives up.

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::{STORE_PAUSE, Target};
use crate::model::Timestamp;
use crate::store::{Settlement, Window};

impl Target {
    /// Settles everything that the writer still has and then `outcomes`. Repeats until the store accepts them, or
    /// until a stop leaves no more time: then they are delivered again. `window`: the outcomes are those of one
    /// message, which opened this window.
    pub(super) async fn settle(
        &mut self,
        mut outcomes: Vec<Settlement>,
        window: Option<Window>,
        stop: &watch::Receiver<Option<Instant>>,
    ) {
        let number = self.settings.number;
        if !self.writer.is_empty() {
            // Never for a target with a digest, which does not use the writer.
            let (mut before, written) = self.writer.empty().await;
            if let Err(error) = written {
                self.reporter.store_failed("record outcomes", &error);
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
            self.reporter.store_failed("record outcomes", &error);
            let stopped = *stop.borrow();
            if stopped.is_some_and(|until| Instant::now() >= until) {
                return;
            }
            let mut claimed = self.calls.events();
            claimed.extend(outcomes.iter().map(|settlement| settlement.event));
            self.queue.extend(number, claimed, self.settings.lease() + STORE_PAUSE);
            sleep(STORE_PAUSE).await;
        }
    }

    /// Gives up deliveries that have waited for a failing target as long as the policy allows.
    pub(super) async fn expire(&mut self, reason: &str) {
        let limit = self.settings.policy.give_up_after;
        let failing_for = self.breaker.failing_for(self.clock.elapsed());
        if failing_for.is_none_or(|failing_for| failing_for < limit) {
            return;
        }
        // Events from before the target failed have waited for as long as it has been failing.
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let before = self.clock.wall().as_millis().saturating_sub(limit_ms);
        let reason = format!("never attempted: the target was down for too long: {reason}");
        let before = Timestamp::from_millis(before);
        match self.queue.expire(self.settings.number, before, reason.clone()).await {
            Ok(0) => {}
            Ok(count) => self.reporter.expired(count, &reason),
            Err(error) => self.reporter.store_failed("give up old deliveries", &error),
        }
    }
}
