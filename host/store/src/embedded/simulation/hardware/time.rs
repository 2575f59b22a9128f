//! Clocks that a test moves: the wall clock in both directions, the steady one forward only.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::BoxFuture;
use crate::embedded::platform::clock::Clock;
use dispatcher_model::Timestamp;

/// In 2026.
const START_MS: u64 = 1_790_000_000_000;

#[derive(Debug)]
pub(crate) struct Time {
    wall_ms: AtomicU64,
    start: Instant,
    steady_ms: AtomicU64,
    /// A fault: the steady clock follows the wall clock when that is set forward.
    steady_jumps: bool,
    jumped_ms: AtomicU64,
}

impl Time {
    pub(crate) fn new() -> Self {
        Self {
            wall_ms: AtomicU64::new(START_MS),
            start: Instant::now(),
            steady_ms: AtomicU64::new(0),
            steady_jumps: false,
            jumped_ms: AtomicU64::new(0),
        }
    }

    /// With a steady clock that is not steady.
    pub(crate) fn with_a_bad_steady_clock() -> Self {
        Self { steady_jumps: true, ..Self::new() }
    }

    pub(crate) fn wall(&self) -> Timestamp {
        Timestamp::from_millis(self.wall_ms.load(Ordering::SeqCst))
    }

    /// How much time really passed.
    pub(crate) fn steady_ms(&self) -> u64 {
        self.steady_ms.load(Ordering::SeqCst)
    }

    /// Time passes.
    pub(crate) fn pass(&self, ms: u64) {
        self.wall_ms.fetch_add(ms, Ordering::SeqCst);
        self.steady_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// The wall clock is set.
    pub(crate) fn jump(&self, ms: i64) {
        if self.steady_jumps && ms > 0 {
            self.jumped_ms.fetch_add(ms.unsigned_abs(), Ordering::SeqCst);
        }
        let set = |now: u64| Some(now.saturating_add_signed(ms).max(1));
        let _ = self.wall_ms.fetch_update(Ordering::SeqCst, Ordering::SeqCst, set);
    }
}

impl Clock for Time {
    fn wall(&self) -> Timestamp {
        Self::wall(self)
    }

    fn steady(&self) -> Instant {
        let jumped_ms = self.jumped_ms.load(Ordering::SeqCst);
        self.start + Duration::from_millis(self.steady_ms() + jumped_ms)
    }

    /// Simulated time never comes by itself: a sleeper is polled again after it was moved.
    fn sleep_until(&self, _: Instant) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}
