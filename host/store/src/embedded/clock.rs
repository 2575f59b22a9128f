//! The two clocks of the store: the wall's for what is stored, the steady one for leases and waits.
//!
//! The store asks nobody else what time it is, so that a test can move time by hours and years, and
//! set the wall's clock back. Live there is one branch between a caller and the system's clocks.

#[cfg(test)]
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use dispatcher_model::Timestamp;

/// Longest lease: more than any process should need, and no overflow.
const LEASE_MAX: Duration = Duration::from_secs(365 * 86_400);

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub wall: Timestamp,
    pub steady: Instant,
}

impl Now {
    pub(super) fn after(&self, lease: Duration) -> Instant {
        self.steady + lease.min(LEASE_MAX)
    }
}

#[derive(Clone, Debug, Default)]
pub(super) enum Clock {
    #[default]
    System,
    /// Stands still until a test moves it.
    #[cfg(test)]
    Simulated(Arc<super::simulation::hardware::time::Time>),
}

impl Clock {
    pub(super) fn now(&self) -> Now {
        Now { wall: self.wall(), steady: self.steady() }
    }

    pub(super) fn wall(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::from(std::time::SystemTime::now()),
            #[cfg(test)]
            Self::Simulated(time) => time.wall(),
        }
    }

    pub(super) fn wall_ms(&self) -> u64 {
        self.wall().as_millis()
    }

    pub(super) fn steady(&self) -> Instant {
        match self {
            Self::System => Instant::now(),
            #[cfg(test)]
            Self::Simulated(time) => time.steady(),
        }
    }

    /// Simulated time never comes by itself: whoever waits for it is asked again after it was moved.
    pub(super) async fn sleep_until(&self, at: Instant) {
        match self {
            Self::System => tokio::time::sleep_until(at).await,
            #[cfg(test)]
            Self::Simulated(_) => std::future::pending().await,
        }
    }
}
