//! Writes outcomes to the store while their target continues.
//!
//! The store accepts an outcome only after the group commit before, which takes as long as the disk does. A target
//! that waited for it would start no call meanwhile. The store has one list at a time; outcomes that come meanwhile
//! form the next list, so a slow store gets longer lists. Lists are at least [`LIST_PAUSE`] apart, because each
//! wakes the thread that writes the log. Outcomes in memory are lost with the process; then their events are
//! delivered again.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::model::TargetNumber;
use crate::store::{Queue, Settlement, StoreError};

/// Shortest time between two lists.
const LIST_PAUSE: Duration = Duration::from_millis(5);
/// Nothing more is claimed while this many outcomes are in memory.
const OUTCOMES_MAX: usize = 2_048;

type Writing = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

/// The outcomes of one target that are not in the store yet.
pub(super) struct OutcomeWriter {
    queue: Arc<dyn Queue>,
    target: TargetNumber,
    waiting: Vec<Settlement>,
    /// The list that the store has not accepted yet, and its answer.
    writing: Option<(Vec<Settlement>, Writing)>,
    /// When the next list may begin.
    next_at: Instant,
}

impl OutcomeWriter {
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

    /// Gives the next list to the store and waits for its answer. Cancel safe. Without outcomes it waits for ever.
    ///
    /// # Errors
    /// The store did not accept the list. Its outcomes wait with the others.
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

    /// Waits for the store's answer to the current list, if any, and returns it with all outcomes that still wait.
    /// The caller settles them.
    pub(super) async fn empty(&mut self) -> (Vec<Settlement>, Result<(), StoreError>) {
        let written = self.written().await;
        (std::mem::take(&mut self.waiting), written)
    }

    fn begin(&mut self) {
        let outcomes = std::mem::take(&mut self.waiting);
        let (queue, target, given) = (Arc::clone(&self.queue), self.target, outcomes.clone());
        let writing = Box::pin(async move { queue.settle(target, given).await });
        self.writing = Some((outcomes, writing));
        self.next_at = Instant::now() + LIST_PAUSE;
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
