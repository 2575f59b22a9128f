//! Wall time for what people read, and monotonic time for what is measured. What waits is due in the time of the
//! store, [`Queue::now`](crate::store::Queue::now).

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::model::Timestamp;

#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) origin: Instant,
    /// Random, so that what another run of the daemon measured is known.
    pub(super) run: u64,
    /// Tests replace it with a wall clock that follows the virtual time since `origin`.
    pub(super) wall: fn(Instant) -> Timestamp,
}

impl Clock {
    pub(super) fn system() -> Self {
        Self { origin: Instant::now(), run: fastrand::u64(..), wall: |_| SystemTime::now().into() }
    }

    pub(super) fn wall(&self) -> Timestamp {
        (self.wall)(self.origin)
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }
}
