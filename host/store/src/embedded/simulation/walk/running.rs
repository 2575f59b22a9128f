//! An open store that a walk asks. Either every step is the test's, such as a round of the committer or a
//! batch of the index, or the store has its threads. Segments are removed only when the test says so.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

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

/// A store with threads that needs longer for an answer is stuck.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Between two looks at something that a thread does.
const POLL: Duration = Duration::from_millis(1);

pub(crate) struct Running {
    pub store: Arc<Embedded>,
    steps: Steps,
    /// Taken out while it does a step.
    pub retention: Option<Retention>,
}

/// Who moves the store on.
enum Steps {
    ByHand(Box<ByHand>),
    /// The store's threads; a runtime for those that ask.
    Threads(Runtime),
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
    /// Every step is the test's if the machine has no threads.
    pub(crate) fn open(settings: &Settings, machine: &Machine) -> Result<Self, OpenError> {
        let parts = Parts::open(settings, machine)?;
        if !machine.alone {
            let (store, retention) = parts.start()?;
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_time().build().map_err(OpenError::Thread)?;
            let steps = Steps::Threads(runtime);
            return Ok(Self { store, steps, retention: Some(retention) });
        }
        let Parts { shared, committer, indexer, jobs, retention } = parts;
        let store = Arc::new(Embedded { shared, threads: Default::default() });
        let (committer, from_committer) = (Some(committer), jobs);
        let by_hand = ByHand { committer, indexer, from_committer, jobs: VecDeque::new() };
        let steps = Steps::ByHand(Box::new(by_hand));
        Ok(Self { store, steps, retention: Some(retention) })
    }

    pub(crate) const fn has_threads(&self) -> bool {
        matches!(self.steps, Steps::Threads(_))
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
        match &mut self.steps {
            Steps::ByHand(by_hand) => by_hand.round(&self.store),
            Steps::Threads(_) => {
                // Any command makes the committer look at the clock.
                let _ = self.ask(self.store.clone().register(Vec::new()));
                false
            }
        }
    }

    /// A batch of the index, of at most that many jobs.
    pub(crate) fn index(&mut self, jobs_max: usize) -> bool {
        match &mut self.steps {
            Steps::ByHand(by_hand) => by_hand.index(jobs_max),
            Steps::Threads(_) => false,
        }
    }

    /// Rebuilds the index of a store that was opened without one.
    pub(crate) fn rebuild_index(&mut self) -> Result<(), String> {
        if let Steps::ByHand(by_hand) = &mut self.steps {
            let rebuilt = by_hand.indexer.rebuild_once(&by_hand.from_committer);
            return rebuilt.map_err(|error| error.to_string());
        }
        let asked = Instant::now();
        while let Some(rebuilding) = self.store.rebuilding() {
            if asked.elapsed() > ANSWER_MAX {
                return Err(format!("the index is not rebuilt: {rebuilding:?}"));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Asks all of them, and moves on until each is answered or nothing moves any more.
    pub(crate) fn all<T>(
        &mut self,
        asked: Vec<Pin<Box<dyn Future<Output = T> + '_>>>,
    ) -> Vec<Option<T>> {
        let mut asked: Vec<_> = asked.into_iter().map(Some).collect();
        let mut answers: Vec<Option<T>> = asked.iter().map(|_| None).collect();
        let mut poll = |context: &mut Context<'_>| {
            for (asked, answer) in asked.iter_mut().zip(&mut answers) {
                let Some(future) = asked else { continue };
                if let Poll::Ready(ready) = future.as_mut().poll(context) {
                    *answer = Some(ready);
                    *asked = None;
                }
            }
            if answers.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
        };
        match &mut self.steps {
            Steps::ByHand(by_hand) => {
                let mut context = Context::from_waker(Waker::noop());
                while poll(&mut context).is_pending()
                    && (by_hand.round(&self.store) || by_hand.index(JOBS_MAX))
                {}
            }
            Steps::Threads(runtime) => {
                let answered = std::future::poll_fn(poll);
                let _ =
                    runtime.block_on(async { tokio::time::timeout(ANSWER_MAX, answered).await });
            }
        }
        answers
    }

    /// `None`: nothing moves any more.
    pub(crate) fn ask<T>(&mut self, asked: impl Future<Output = T>) -> Option<T> {
        self.all(vec![Box::pin(asked)]).pop().flatten()
    }

    /// Polls once.
    pub(crate) fn glance<T>(&self, asked: impl Future<Output = T>) -> Option<T> {
        let once = || match std::pin::pin!(asked).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(ready) => Some(ready),
            Poll::Pending => None,
        };
        match &self.steps {
            Steps::ByHand(_) => once(),
            Steps::Threads(runtime) => runtime.block_on(async { once() }),
        }
    }

    /// Writes what waits and ends in an orderly way.
    pub(crate) fn close(self) {
        let Self { store, steps, .. } = self;
        match steps {
            Steps::ByHand(mut by_hand) => {
                store.shared.inbox.stop(Stop::Close);
                while by_hand.committer.is_some() {
                    by_hand.round(&store);
                }
                while by_hand.index(JOBS_MAX) {}
                by_hand.indexer.end();
            }
            Steps::Threads(runtime) => runtime.block_on(store.close()).unwrap(),
        }
    }
}
