//! Several deliveries of one slot in turn, for targets that take one at a time.
//!
//! A task, a claim and a look of the target's own task for each delivery cost more than many a delivery
//! itself. A slot therefore gets up to [`TURNS_MAX`] at once, as many as seem to take [`TURNS_AIM`]: what is
//! not begun after [`TURNS_TIME`], or after a failure, is given back. Each has the whole `timeout` of its own.
//! A target with many slots needs no turns: enough calls of it end between two looks.

use std::slice;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Backend;
use crate::model::{Delivery, FailureKind, Verdict};

/// Most deliveries that wait for the one before them.
pub(super) const TURNS_MAX: usize = 8;
/// Most deliveries of all slots of a target together, unless there are more slots.
const TURNS_ALL_MAX: usize = 64;
/// How long the turns of a slot should take together.
const TURNS_AIM: Duration = Duration::from_millis(10);
/// After this time no further one is begun: giving back is dear, and should be rare.
pub(super) const TURNS_TIME: Duration = Duration::from_millis(50);

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
pub(super) struct Pace {
    took: Duration,
    turns_max: usize,
}

impl Pace {
    /// Nothing is known of a target with so many slots: one at a time.
    pub(super) fn unknown(slots: usize) -> Self {
        let turns_max = (TURNS_ALL_MAX / slots.max(1)).clamp(1, TURNS_MAX);
        Self { took: TURNS_AIM, turns_max }
    }

    pub(super) fn add(&mut self, took: Duration) {
        self.took = (self.took * 7 + took.min(TURNS_AIM * 8)) / 8;
    }

    pub(super) fn turns(&self) -> usize {
        let turns = TURNS_AIM.as_micros() / self.took.as_micros().max(1);
        usize::try_from(turns).unwrap_or(TURNS_MAX).clamp(1, self.turns_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_targets_get_more_at_once_and_slow_ones_a_single_one() {
        let mut pace = Pace::unknown(4);
        assert_eq!(pace.turns(), 1);
        for _ in 0..100 {
            pace.add(Duration::from_micros(100));
        }
        assert_eq!(pace.turns(), TURNS_MAX);
        pace.add(Duration::from_secs(10));
        assert_eq!(pace.turns(), 1, "a single one that was slow");
        for _ in 0..100 {
            pace.add(Duration::from_millis(3));
        }
        assert_eq!(pace.turns(), 3);
        for (slots, turns) in [(1, TURNS_MAX), (16, 4), (64, 1), (1_000, 1)] {
            let mut pace = Pace::unknown(slots);
            (0..100).for_each(|_| pace.add(Duration::ZERO));
            assert_eq!(pace.turns(), turns, "{slots} slots");
        }
    }
}
