//! What `deliver` must know of one target.

use std::sync::Arc;
use std::time::Duration;

use super::digest::DigestSettings;
use crate::model::TargetNumber;
use crate::retry::{AFTER_MAX, Policy};

/// How long after its deadline a call is cut. The backend itself gives up earlier, and knows better whether
/// anything was sent.
pub const CUT_MARGIN: Duration = Duration::from_secs(1);
/// How much longer than a call its lease lasts, to leave time for settling.
const LEASE_MARGIN: Duration = Duration::from_secs(10);

/// One target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub name: Arc<str>,
    pub number: TargetNumber,
    /// Most deliveries per call, for plugins that take many; at least 1.
    pub batch_max: usize,
    /// Most concurrent calls; at least 1.
    pub concurrency: usize,
    /// Time for one attempt.
    pub timeout: Duration,
    pub policy: Policy,
    /// Combine many deliveries into one message; for backends that take many at once.
    pub digest: Option<DigestSettings>,
}

impl Settings {
    pub const BATCH_MAX_DEFAULT: usize = 256;
    pub const CONCURRENCY_DEFAULT: usize = 4;
    pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

    /// The longest time that a delivery waits for its next attempt: its destination may ask for [`AFTER_MAX`].
    pub(super) fn longest_wait(&self) -> Duration {
        let every = self.digest.as_ref().map_or(Duration::ZERO, |digest| digest.every);
        self.policy.backoff_max.max(every).max(AFTER_MAX)
    }

    /// The lease of a claimed delivery.
    pub(super) fn lease(&self) -> Duration {
        self.timeout + CUT_MARGIN + LEASE_MARGIN
    }
}
