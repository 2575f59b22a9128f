//! The two clocks of the store: the wall clock for what is stored, the steady one for leases and waits.
//!
//! The store reads no other clock, so that a test can move time by hours and years and set the wall
//! clock back.

use std::time::Duration;

use dispatcher_model::Timestamp;
use tokio::time::Instant;

use crate::BoxFuture;

/// Longest lease: more than any process should need, and no overflow.
const LEASE_MAX: Duration = Duration::from_secs(365 * 86_400);

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub wall: Timestamp,
    pub steady: Instant,
}

impl Now {
    pub(crate) fn after(&self, lease: Duration) -> Instant {
        self.steady + lease.min(LEASE_MAX)
    }
}

pub(crate) trait Clock: Send + Sync + 'static {
    fn wall(&self) -> Timestamp;
    fn steady(&self) -> Instant;
    /// Completes at that moment of the steady clock.
    fn sleep_until(&self, at: Instant) -> BoxFuture<'_, ()>;

    fn now(&self) -> Now {
        Now { wall: self.wall(), steady: self.steady() }
    }

    fn wall_ms(&self) -> u64 {
        self.wall().as_millis()
    }
}

/// The clocks of the machine.
#[derive(Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn wall(&self) -> Timestamp {
        Timestamp::from(std::time::SystemTime::now())
    }

    fn steady(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep_until(at))
    }
}
