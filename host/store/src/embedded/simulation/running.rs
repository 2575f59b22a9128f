//! A store whose every step is taken by the test: what a caller asks, a round of the committer, a
//! batch of the index.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::embedded::commit::committer::Committer;
use crate::embedded::core::inbox::Stop;
use crate::embedded::core::machine::Machine;
use crate::embedded::engine::Parts;
use crate::embedded::indexing::indexer::{Indexer, Job};
use crate::embedded::retention::retire::{Retention, Stepped};
use crate::embedded::{Embedded, OpenError, Settings};

/// The committer would wait for the index above its own limit, which is larger.
const JOBS_MAX: usize = 100;

pub(super) struct Running {
    pub store: Arc<Embedded>,
    /// Dropped before the others: what it has not written is lost.
    committer: Option<Committer>,
    indexer: Indexer,
    from_committer: Receiver<Job>,
    jobs: VecDeque<Job>,
    /// Away while it takes a step.
    retention: Option<Retention>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.committer = None;
    }
}

impl Running {
    pub(super) fn open(settings: &Settings, machine: &Machine) -> Result<Self, OpenError> {
        let parts = Parts::open(settings, machine)?;
        let Parts { shared, committer, indexer, jobs, retention } = parts;
        let store = Arc::new(Embedded { shared, threads: Default::default() });
        let (committer, from_committer) = (Some(committer), jobs);
        let (jobs, retention) = (VecDeque::new(), Some(retention));
        Ok(Self { store, committer, indexer, from_committer, jobs, retention })
    }

    /// A step of whoever lets old segments go; whether there may be more to do.
    pub(super) fn retain(&mut self) -> bool {
        let Some(mut retention) = self.retention.take() else { return false };
        let stepped = retention.step(&mut || {
            self.round();
            self.index(JOBS_MAX);
        });
        self.retention = Some(retention);
        stepped == Stepped::More
    }

    /// A look at how much space there is.
    pub(super) fn look(&self) {
        let shared = &self.store.shared;
        shared.room.look(&*shared.reader.disk);
    }

    /// A round of the committer with what there is, if only the passing of time; whether there was
    /// anything to do.
    pub(super) fn round(&mut self) -> bool {
        let Some(committer) = &mut self.committer else { return false };
        let taken = self.store.shared.inbox.take(Some(Duration::ZERO));
        let busy = !taken.appends.is_empty() || !taken.acts.is_empty();
        if committer.round(taken) {
            self.committer = None;
        }
        self.jobs.extend(self.from_committer.try_iter());
        while self.jobs.len() > JOBS_MAX {
            self.index(JOBS_MAX);
        }
        busy
    }

    /// Makes the index that was not there at the start.
    pub(super) fn make_index(&mut self) -> Result<(), String> {
        self.indexer.rebuild_once(&self.from_committer).map_err(|error| error.to_string())
    }

    /// A batch of the index, of at most that many jobs.
    pub(super) fn index(&mut self, jobs_max: usize) -> bool {
        let Some(first) = self.jobs.pop_front() else { return false };
        let mut left = jobs_max.saturating_sub(1);
        let batch = self.indexer.batch(first, || {
            left = left.checked_sub(1)?;
            self.jobs.pop_front()
        });
        batch.unwrap();
        true
    }

    /// Asks all of them, and goes on until each is answered or nothing moves any more.
    pub(super) fn all<T>(
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
            if answers.iter().all(Option::is_some) || !(self.round() || self.index(JOBS_MAX)) {
                return answers;
            }
        }
    }

    /// `None`: nothing moves any more.
    pub(super) fn ask<T>(&mut self, asked: impl Future<Output = T>) -> Option<T> {
        let mut asked = std::pin::pin!(asked);
        let mut context = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(ready) = asked.as_mut().poll(&mut context) {
                return Some(ready);
            }
            if !(self.round() || self.index(JOBS_MAX)) {
                return None;
            }
        }
    }

    /// Asks once and goes away.
    pub(super) fn glance<T>(&self, asked: impl Future<Output = T>) -> Option<T> {
        match std::pin::pin!(asked).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(ready) => Some(ready),
            Poll::Pending => None,
        }
    }

    /// Writes what is there and ends in an orderly way.
    pub(super) fn close(mut self) {
        self.store.shared.inbox.stop(Stop::Close);
        while self.committer.is_some() {
            self.round();
        }
        while self.index(JOBS_MAX) {}
        self.indexer.end();
    }
}
