//! Clocks that a test moves: the wall's in both directions, the steady one forward only.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use dispatcher_model::Timestamp;

/// A morning in 2026.
const START_MS: u64 = 1_790_000_000_000;

#[derive(Debug)]
pub(crate) struct Time {
    wall_ms: AtomicU64,
    start: Instant,
    steady_ms: AtomicU64,
}

impl Time {
    pub(in crate::embedded) fn new() -> Self {
        Self {
            wall_ms: AtomicU64::new(START_MS),
            start: Instant::now(),
            steady_ms: AtomicU64::new(0),
        }
    }

    pub(in crate::embedded) fn wall(&self) -> Timestamp {
        Timestamp::from_millis(self.wall_ms.load(Ordering::SeqCst))
    }

    pub(in crate::embedded) fn steady(&self) -> Instant {
        self.start + Duration::from_millis(self.steady_ms())
    }

    pub(super) fn steady_ms(&self) -> u64 {
        self.steady_ms.load(Ordering::SeqCst)
    }

    /// Time goes by.
    pub(in crate::embedded) fn pass(&self, ms: u64) {
        self.wall_ms.fetch_add(ms, Ordering::SeqCst);
        self.steady_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// Somebody sets the wall's clock.
    pub(in crate::embedded) fn jump(&self, ms: i64) {
        let set = |now: u64| Some(now.saturating_add_signed(ms).max(1));
        let _ = self.wall_ms.fetch_update(Ordering::SeqCst, Ordering::SeqCst, set);
    }
}
