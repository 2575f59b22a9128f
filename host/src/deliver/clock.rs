//! Wall time for what is stored, and monotonic time for what is measured.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::model::Timestamp;

#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) origin: Instant,
    /// Tests replace it with a wall clock that follows the virtual time since `origin`.
    pub(super) wall: fn(Instant) -> Timestamp,
}

impl Clock {
    pub(super) fn system() -> Self {
        Self { origin: Instant::now(), wall: |_| SystemTime::now().into() }
    }

    pub(super) fn wall(&self) -> Timestamp {
        (self.wall)(self.origin)
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }
}
