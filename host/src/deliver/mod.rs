//! Takes deliveries from the queue to their targets.

use std::sync::Arc;
use std::time::Duration;

use crate::model::TargetNumber;
use crate::retry::Policy;

/// What the deliverer must know of one target.
#[derive(Clone, Debug)]
pub struct Settings {
    pub name: Arc<str>,
    pub number: TargetNumber,
    /// Most deliveries a call, for plugins that take many.
    pub batch_max: usize,
    /// Calls at the same time.
    pub concurrency: usize,
    /// One attempt.
    pub timeout: Duration,
    pub policy: Policy,
}

impl Settings {
    pub const BATCH_MAX_DEFAULT: usize = 256;
    pub const CONCURRENCY_DEFAULT: usize = 4;
    pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
}
