//! Several deliveries in sequence by one call, for plugins that take one delivery at a time.
//!
//! A task, a claim and a wake-up of the target's task for each delivery can cost more than the delivery itself. So
//! a call gets up to [`SEQUENCE_MAX`] deliveries, as many as should take [`SEQUENCE_TIME_AIM`]. Those not begun
//! after [`SEQUENCE_TIME_MAX`], or after a failure, are released. Each delivery has the whole `timeout`. A target
//! with a high concurrency needs no sequences: enough of its calls end between two wake-ups.

use std::slice;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::backend::Backend;
use crate::model::{Delivery, FailureKind, Verdict};
use crate::retry::verdicts::single;

/// Most deliveries in one sequence.
pub(super) const SEQUENCE_MAX: usize = 8;
/// Most deliveries in all sequences of a target, unless its concurrency is higher.
const SEQUENCES_TOTAL_MAX: usize = 64;
/// How long a sequence should take.
const SEQUENCE_TIME_AIM: Duration = Duration::from_millis(10);
/// No further delivery begins after this time. Releasing is expensive, so this should be rare.
pub(super) const SEQUENCE_TIME_MAX: Duration = Duration::from_millis(50);

/// One delivery of a sequence that was attempted.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) verdict: Verdict,
    pub(super) took: Duration,
}

/// The progress of one sequence. `None` once it is closed.
#[derive(Debug)]
pub(super) struct Sequence(Mutex<Option<Vec<Step>>>);

impl Sequence {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(Vec::new()))))
    }

    /// Returns the steps so far, and lets no further delivery begin.
    pub(super) fn close(&self) -> Vec<Step> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }

    /// Whether the next delivery may begin.
    fn add(&self, verdict: Verdict, took: Duration) -> bool {
        let continues = match &verdict {
            Ok(_) => true,
            // A rejection concerns only the event.
            Err(failure) => failure.kind == FailureKind::Reject,
        };
        let mut steps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(steps) = steps.as_mut() else { return false };
        steps.push(Step { verdict, took });
        continues
    }

    /// Attempts the deliveries one after another.
    pub(super) async fn deliver(
        self: Arc<Self>,
        deliveries: Arc<[Delivery]>,
        backend: Arc<dyn Backend>,
        timeout: Duration,
    ) {
        let first = Instant::now();
        for delivery in &*deliveries {
            let began = Instant::now();
            if began.duration_since(first) >= SEQUENCE_TIME_MAX {
                return;
            }
            let verdicts = backend.deliver(slice::from_ref(delivery), began + timeout).await;
            if !self.add(single(verdicts), began.elapsed()) {
                return;
            }
        }
    }
}

/// How many deliveries a sequence should have, by how long recent ones took.
#[derive(Debug)]
pub(super) struct Pace {
    /// Moving average.
    took: Duration,
    deliveries_max: usize,
}

impl Pace {
    /// The pace of a target that has delivered nothing yet: one delivery per call.
    pub(super) fn unknown(concurrency: usize) -> Self {
        let deliveries_max = (SEQUENCES_TOTAL_MAX / concurrency.max(1)).clamp(1, SEQUENCE_MAX);
        Self { took: SEQUENCE_TIME_AIM, deliveries_max }
    }

    pub(super) fn add(&mut self, took: Duration) {
        self.took = (self.took * 7 + took.min(SEQUENCE_TIME_AIM * 8)) / 8;
    }

    pub(super) fn deliveries(&self) -> usize {
        let deliveries = SEQUENCE_TIME_AIM.as_micros() / self.took.as_micros().max(1);
        usize::try_from(deliveries).unwrap_or(SEQUENCE_MAX).clamp(1, self.deliveries_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_targets_get_long_sequences_and_slow_ones_single_deliveries() {
        let mut pace = Pace::unknown(4);
        assert_eq!(pace.deliveries(), 1);
        for _ in 0..100 {
            pace.add(Duration::from_micros(100));
        }
        assert_eq!(pace.deliveries(), SEQUENCE_MAX);
        pace.add(Duration::from_secs(10));
        assert_eq!(pace.deliveries(), 1, "after one slow delivery");
        for _ in 0..100 {
            pace.add(Duration::from_millis(3));
        }
        assert_eq!(pace.deliveries(), 3);
        for (concurrency, deliveries) in [(1, SEQUENCE_MAX), (16, 4), (64, 1), (1_000, 1)] {
            let mut pace = Pace::unknown(concurrency);
            (0..100).for_each(|_| pace.add(Duration::ZERO));
            assert_eq!(pace.deliveries(), deliveries, "concurrency {concurrency}");
        }
    }
}
