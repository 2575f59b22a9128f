//! An open store of which every step is the test's, such as a round of the committer or a batch of the
//! index. Segments are removed, and free space is looked at, only when the test says so.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::Queue as _;
use crate::embedded::commit::committer::Committer;
use crate::embedded::core::inbox::Stop;
use crate::embedded::core::machine::Machine;
use crate::embedded::engine::Parts;
use crate::embedded::indexing::indexer::{Indexer, Job};
use crate::embedded::retention::retire::{Retention, Stepped};
use crate::embedded::{Embedded, OpenError, Settings};

/// The committer would wait for the index above its own limit, which is larger.
const JOBS_MAX: usize = 100;

pub(crate) struct Running {
    pub store: Arc<Embedded>,
    by_hand: ByHand,
    /// Taken out while it does a step.
    retention: Option<Retention>,
}

struct ByHand {
    /// `None` once it has ended. Dropped before the others: what it has not written is lost.
    committer: Option<Committer>,
    indexer: Indexer,
    from_committer: Receiver<Job>,
    jobs: VecDeque<Job>,
}

impl ByHand {
    fn round(&mut self, store: &Embedded) -> bool {
        let Some(committer) = &mut self.committer else { return false };
        let taken = store.shared.inbox.take(Some(Duration::ZERO));
        let busy = !taken.appends.is_empty() || !taken.acts.is_empty();
        if committer.round(taken) {
            self.committer = None;
        }
        if store.rebuilding().is_none() {
            // Otherwise the rebuild takes them.
            self.jobs.extend(self.from_committer.try_iter());
        }
        while self.jobs.len() > JOBS_MAX {
            self.index(JOBS_MAX);
        }
        busy
    }

    fn index(&mut self, jobs_max: usize) -> bool {
        let Some(first) = self.jobs.pop_front() else { return false };
        let mut left = jobs_max.saturating_sub(1);
        let batch = self.indexer.batch(first, || {
            left = left.checked_sub(1)?;
            self.jobs.pop_front()
        });
        batch.unwrap();
        true
    }
}

impl Running {
    /// Every step is the test's.
    pub(crate) fn open(settings: &Settings, machine: &Machine) -> Result<Self, OpenError> {
        let parts = Parts::open(settings, machine)?;
        let Parts { shared, committer, indexer, jobs, retention } = parts;
        let store = Arc::new(Embedded { shared, threads: Default::default() });
        let (committer, from_committer) = (Some(committer), jobs);
        let by_hand = ByHand { committer, indexer, from_committer, jobs: VecDeque::new() };
        Ok(Self { store, by_hand, retention: Some(retention) })
    }

    /// A step of removing old segments; whether there may be more to do.
    pub(crate) fn retain(&mut self) -> bool {
        let Some(mut retention) = self.retention.take() else { return false };
        let stepped = retention.step(&mut || {
            self.round();
            self.index(JOBS_MAX);
        });
        self.retention = Some(retention);
        stepped == Stepped::More
    }

    /// Looks at how much space is free.
    pub(crate) fn look(&self) {
        let shared = &self.store.shared;
        shared.room.look(&*shared.reader.disk);
    }

    /// A round of the committer with what waits, if only the passing of time; whether anything waited.
    pub(crate) fn round(&mut self) -> bool {
        self.by_hand.round(&self.store)
    }

    /// A batch of the index, of at most that many jobs.
    pub(crate) fn index(&mut self, jobs_max: usize) -> bool {
        self.by_hand.index(jobs_max)
    }

    /// Rebuilds the index of a store that was opened without one.
    pub(crate) fn rebuild_index(&mut self) -> Result<(), String> {
        let rebuilt = self.by_hand.indexer.rebuild_once(&self.by_hand.from_committer);
        rebuilt.map_err(|error| error.to_string())
    }

    /// Moves on; `false` when nothing moves any more.
    fn moves(&mut self) -> bool {
        self.round() || self.index(JOBS_MAX)
    }

    /// Asks all of them, and moves on until each is answered or nothing moves any more.
    pub(crate) fn all<T>(
        &mut self,
        asked: Vec<Pin<Box<dyn Future<Output = T> + '_>>>,
    ) -> Vec<Option<T>> {
        let mut context = Context::from_waker(Waker::noop());
        let mut asked: Vec<_> = asked.into_iter().map(Some).collect();
        let mut answers: Vec<Option<T>> = asked.iter().map(|_| None).collect();
        loop {
            for (asked, answer) in asked.iter_mut().zip(&mut answers) {
                let Some(future) = asked else { continue };
                if let Poll::Ready(ready) = future.as_mut().poll(&mut context) {
                    *answer = Some(ready);
                    *asked = None;
                }
            }
            if answers.iter().all(Option::is_some) || !self.moves() {
                return answers;
            }
        }
    }

    /// `None`: nothing moves any more.
    pub(crate) fn ask<T>(&mut self, asked: impl Future<Output = T>) -> Option<T> {
        self.all(vec![Box::pin(asked)]).pop().flatten()
    }

    /// Polls once.
    pub(crate) fn glance<T>(&self, asked: impl Future<Output = T>) -> Option<T> {
        match std::pin::pin!(asked).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(ready) => Some(ready),
            Poll::Pending => None,
        }
    }

    /// Writes what waits and ends in an orderly way.
    pub(crate) fn close(self) {
        let Self { store, mut by_hand, .. } = self;
        store.shared.inbox.stop(Stop::Close);
        while by_hand.committer.is_some() {
            by_hand.round(&store);
        }
        while by_hand.index(JOBS_MAX) {}
        by_hand.indexer.end();
    }
}
