//! What a target may do next, and claiming deliveries for it.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::super::settings::Settings;
use crate::model::Delivery;
use crate::store::{Queue, StoreError};

/// How long a probe waits for a delivery that was never attempted.
const UNTRIED_WAIT: Duration = Duration::from_secs(1);

/// What a target may do next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    Claim {
        max: usize,
    },
    /// One delivery, while the circuit breaker is open.
    Probe {
        /// One that was never attempted.
        untried: bool,
        /// It is chosen from so many.
        max: usize,
    },
    /// What a person resumes until then: the target is held.
    Held {
        until: Instant,
    },
    /// Nothing until this moment: the circuit breaker is open, or a batch is gathered.
    Wait(Instant),
    /// Nothing until a call ends: `concurrency` is reached.
    Full,
}

/// Claims deliveries, or waits as long as there is nothing to claim. Cancel safe.
pub(super) async fn claim(
    queue: &dyn Queue,
    settings: &Settings,
    work: Work,
) -> Result<Vec<Delivery>, StoreError> {
    let (number, lease) = (settings.number, settings.lease());
    match work {
        Work::Claim { max } => queue.claim(number, max, lease).await,
        Work::Probe { untried: false, max } => queue.claim(number, max, lease).await,
        Work::Held { until } => {
            let claimed = queue.claim(number, 1, lease);
            timeout_at(until, claimed).await.unwrap_or_else(|_| Ok(Vec::new()))
        }
        Work::Probe { untried: true, max } => {
            // Not for long, because a retry may become due meanwhile.
            let claimed = queue.claim_untried(number, max, lease);
            timeout(UNTRIED_WAIT, claimed).await.unwrap_or_else(|_| Ok(Vec::new()))
        }
        Work::Wait(until) => {
            sleep_until(until).await;
            Ok(Vec::new())
        }
        Work::Full => std::future::pending().await,
    }
}
