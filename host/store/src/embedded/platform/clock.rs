//! The two clocks of the store: the wall's for what is stored, the steady one for leases and waits.
//!
//! These are the only clocks that the store reads, so that a test can move time by hours and years, and
//! set the wall's clock back. Live there is one branch between a caller and the system's clocks.

#[cfg(test)]
use std::sync::Arc;
use std::time::Duration;

use dispatcher_model::Timestamp;
use tokio::time::Instant;

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

#[derive(Clone, Debug, Default)]
pub(crate) enum Clock {
    #[default]
    System,
    /// Stands still until a test moves it.
    #[cfg(test)]
    Simulated(Arc<crate::embedded::simulation::Time>),
}

impl Clock {
    pub(crate) fn now(&self) -> Now {
        Now { wall: self.wall(), steady: self.steady() }
    }

    pub(crate) fn wall(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::from(std::time::SystemTime::now()),
            #[cfg(test)]
            Self::Simulated(time) => time.wall(),
        }
    }

    pub(crate) fn wall_ms(&self) -> u64 {
        self.wall().as_millis()
    }

    pub(crate) fn steady(&self) -> Instant {
        match self {
            Self::System => Instant::now(),
            #[cfg(test)]
            Self::Simulated(time) => time.steady(),
        }
    }

    /// Simulated time does not pass by itself: a test polls the waiter again after it moved the time.
    pub(crate) async fn sleep_until(&self, at: Instant) {
        match self {
            Self::System => tokio::time::sleep_until(at).await,
            #[cfg(test)]
            Self::Simulated(_) => std::future::pending().await,
        }
    }
}
