//! Outcomes on their way into the store, while their target goes on.
//!
//! The store takes an outcome only when it is done with the group commit before, which takes as long as
//! the disk does. A target that waited for that would have no call under way meanwhile. One list is
//! with the store at a time, and what ends until it is answered becomes the next one: as many outcomes a
//! record as the store is slow. Lists are at least [`REST`] apart, because each wakes the thread that
//! writes the log. What is in here is lost with the process, and comes again.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::model::TargetNumber;
use crate::store::{Queue, Settlement, StoreError};

/// Shortest time between two lists.
const REST: Duration = Duration::from_millis(5);
/// With so many outcomes in here, nothing more is claimed.
const OUTCOMES_MAX: usize = 2_048;

type Writing = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

pub(super) struct Ledger {
    queue: Arc<dyn Queue>,
    target: TargetNumber,
    waiting: Vec<Settlement>,
    /// What the store has not yet answered, and its answer.
    writing: Option<(Vec<Settlement>, Writing)>,
    /// The next list begins then.
    next_at: Instant,
}

impl Ledger {
    pub(super) fn new(queue: Arc<dyn Queue>, target: TargetNumber) -> Self {
        Self { queue, target, waiting: Vec::new(), writing: None, next_at: Instant::now() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.writing.is_none()
    }

    pub(super) fn is_full(&self) -> bool {
        let writing = self.writing.as_ref().map_or(0, |(outcomes, _)| outcomes.len());
        self.waiting.len() + writing >= OUTCOMES_MAX
    }

    pub(super) fn add(&mut self, outcomes: Vec<Settlement>) {
        self.waiting.extend(outcomes);
    }

    /// Brings the next list on its way, or waits for the store's answer to one. Cancel safe; without
    /// outcomes it waits for ever.
    ///
    /// # Errors
    /// The store did not take a list; it waits with the others.
    pub(super) async fn work(&mut self) -> Result<(), StoreError> {
        if self.writing.is_none() {
            if self.waiting.is_empty() {
                return pending().await;
            }
            sleep_until(self.next_at).await;
            self.begin();
        }
        self.written().await
    }

    /// All that waits, for whoever settles it itself.
    ///
    /// # Errors
    /// The store did not take the list that was on its way.
    pub(super) async fn empty(&mut self) -> (Vec<Settlement>, Result<(), StoreError>) {
        let written = self.written().await;
        (std::mem::take(&mut self.waiting), written)
    }

    fn begin(&mut self) {
        let outcomes = std::mem::take(&mut self.waiting);
        let (queue, target, given) = (Arc::clone(&self.queue), self.target, outcomes.clone());
        let writing = Box::pin(async move { queue.settle(target, given).await });
        self.writing = Some((outcomes, writing));
        self.next_at = Instant::now() + REST;
    }

    async fn written(&mut self) -> Result<(), StoreError> {
        let Some((_, writing)) = &mut self.writing else { return Ok(()) };
        let written = writing.await;
        if let Some((mut outcomes, _)) = self.writing.take()
            && written.is_err()
        {
            outcomes.append(&mut self.waiting);
            self.waiting = outcomes;
        }
        written
    }
}
