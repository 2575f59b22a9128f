//! Several deliveries of one slot in turn, for targets that take one at a time.
//!
//! A task, a claim and a look of the target's own task for each delivery cost more than many a delivery
//! itself. A slot therefore gets up to [`TURNS_MAX`] at once, as long as they are quick: what is not begun
//! after [`TURNS_TIME`], or after a failure, is given back. Each has the whole `timeout` of its own.

use std::slice;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Backend;
use crate::model::{Delivery, FailureKind, Verdict};

/// Most deliveries that wait for the one before them.
pub(super) const TURNS_MAX: usize = 8;
/// After this time no further one is begun.
pub(super) const TURNS_TIME: Duration = Duration::from_millis(20);

/// How far the turns of one call are; `None` once somebody has taken that.
#[derive(Debug)]
pub(super) struct Turns(Mutex<Option<Vec<(Verdict, Duration)>>>);

impl Turns {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(Vec::new()))))
    }

    /// What was answered, each with the time it took. No further delivery is begun from here on.
    pub(super) fn close(&self) -> Vec<(Verdict, Duration)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }

    /// Whether there is a next turn.
    fn add(&self, verdict: Verdict, took: Duration) -> bool {
        let goes_on = match &verdict {
            Ok(_) => true,
            // That is about the event alone.
            Err(failure) => failure.kind == FailureKind::Reject,
        };
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(turns) = turns.as_mut() else { return false };
        turns.push((verdict, took));
        goes_on
    }

    pub(super) async fn deliver(
        self: Arc<Self>,
        deliveries: Arc<[Delivery]>,
        backend: Arc<dyn Backend>,
        timeout: Duration,
    ) {
        let first = Instant::now();
        for delivery in &*deliveries {
            let began = Instant::now();
            if began.duration_since(first) >= TURNS_TIME {
                return;
            }
            let verdicts = backend.deliver(slice::from_ref(delivery), began + timeout).await;
            let verdict = super::calls::one(verdicts);
            if !self.add(verdict, began.elapsed()) {
                return;
            }
        }
    }
}

/// How many deliveries a slot may have at once, by how long the last ones took.
#[derive(Debug)]
pub(super) struct Pace(Duration);

impl Pace {
    /// Nothing is known of the target: one at a time.
    pub(super) const fn unknown() -> Self {
        Self(TURNS_TIME)
    }

    pub(super) fn add(&mut self, took: Duration) {
        self.0 = (self.0 * 7 + took.min(TURNS_TIME * 8)) / 8;
    }

    pub(super) fn turns(&self) -> usize {
        let turns = TURNS_TIME.as_micros() / self.0.as_micros().max(1);
        usize::try_from(turns).unwrap_or(TURNS_MAX).clamp(1, TURNS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_targets_get_more_at_once_and_slow_ones_a_single_one() {
        let mut pace = Pace::unknown();
        assert_eq!(pace.turns(), 1);
        for _ in 0..100 {
            pace.add(Duration::from_micros(100));
        }
        assert_eq!(pace.turns(), TURNS_MAX);
        pace.add(Duration::from_secs(10));
        assert_eq!(pace.turns(), 1, "a single one that was slow");
        for _ in 0..100 {
            pace.add(Duration::from_millis(6));
        }
        assert_eq!(pace.turns(), 3);
    }
}
