//! Asks the plugin, without an event, whether its destination would accept deliveries: what the verdict "broken" of a
//! single event cannot show.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::super::backend::Backend;
use super::super::call_slots::CallSlots;
use crate::model::{FailureKind, Verdict};

/// Shortest time between two checks.
const CHECK_PAUSE: Duration = Duration::from_secs(60);

/// The check of one target; at most one runs.
pub(super) struct Check {
    backend: Arc<dyn Backend>,
    slots: CallSlots,
    running: JoinSet<Option<Verdict>>,
    next_at: Option<Instant>,
}

impl Check {
    pub(super) fn new(backend: Arc<dyn Backend>, slots: CallSlots) -> Self {
        Self { backend, slots, running: JoinSet::new(), next_at: None }
    }

    /// Starts a check, unless one runs or was started a short time ago.
    pub(super) fn start(&mut self, timeout: Duration) {
        let now = Instant::now();
        if !self.running.is_empty() || self.next_at.is_some_and(|next| now < next) {
            return;
        }
        self.next_at = Some(now + CHECK_PAUSE);
        let backend = Arc::clone(&self.backend);
        let check = async move { backend.probe(now + timeout).await };
        self.running.spawn(self.slots.run(check));
    }

    /// Ends a running check. The next one may start at once.
    pub(super) fn cancel(&mut self) {
        self.running.abort_all();
        self.next_at = None;
    }

    pub(super) fn is_running(&self) -> bool {
        !self.running.is_empty()
    }

    /// Waits for the end of the running check, and returns why the target is broken if it is. Cancel safe.
    pub(super) async fn ended(&mut self) -> Option<String> {
        // A check that panicked or was cancelled shows nothing.
        let failure = self.running.join_next().await?.ok()??.err()?;
        (failure.kind == FailureKind::Broken).then_some(failure.reason)
    }
}
