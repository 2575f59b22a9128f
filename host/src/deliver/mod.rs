//! Takes deliveries from the queue to their targets.
//!
//! One task a target claims, calls the backend, decides by the target's policy and settles; targets
//! share nothing but the threads, so that one that is slow, dead, panicking or hanging costs only
//! itself.
//! - At most `concurrency` calls of a target run at once, each with a deadline. A call that has not
//!   ended [`CUT_MARGIN`] after its deadline is cut: its deliveries count as perhaps sent, and its
//!   slot stays taken until its code really ends.
//! - A call that blocks its thread keeps that thread: the runtime brings another one in its place.
//! - What is claimed is settled, or its lease ends and it is delivered again: at least once.
//! - A target that fails as a whole is held and probed with one delivery at a time. The failed probe
//!   is retried like any other, so that an event that only fails by itself moves out of the way of
//!   the rest; the backlog behind it stays where it is.
//! - A target has one task at a time: what replaces it claims nothing before the old one has ended,
//!   which it does some seconds after its grace at the latest. Only the code of a call that was cut and
//!   blocks its thread can outlive that.

mod backend;
mod calls;
mod crew;
mod digest;
mod journal;
mod ledger;
mod running;
mod target;
#[cfg(test)]
mod tests;
mod turns;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use crate::model::{TargetNumber, Timestamp};
use crate::retry::Policy;
use crate::store::Queue;
use crate::telemetry::Feed;
pub use backend::Backend;
use calls::Calls;
use crew::Crew;
pub use digest::{Attribute, DigestSettings, GROUPS_MAX, SAMPLE_BYTES_MAX, SAMPLE_MAX};
use running::Running;
use target::Target;

/// How long after its deadline a call is cut. The backend itself fails earlier, and knows better
/// whether anything was sent.
pub const CUT_MARGIN: Duration = Duration::from_secs(1);
/// How much longer than a call its lease lasts, for settling.
const LEASE_MARGIN: Duration = Duration::from_secs(10);
/// How long [`Deliverer::stop`] waits for each of the last steps beyond its grace.
const STOP_MARGIN: Duration = Duration::from_secs(2);

/// What the deliverer must know of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub name: Arc<str>,
    pub number: TargetNumber,
    /// Most deliveries a call, for plugins that take many; at least 1.
    pub batch_max: usize,
    /// Calls at the same time; at least 1.
    pub concurrency: usize,
    /// One attempt.
    pub timeout: Duration,
    pub policy: Policy,
    /// Many deliveries become one message; for backends that take many at once.
    pub digest: Option<DigestSettings>,
}

impl Settings {
    pub const BATCH_MAX_DEFAULT: usize = 256;
    pub const CONCURRENCY_DEFAULT: usize = 4;
    pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
}

/// Most cores that [`worker_threads`] counts.
const CORES_MAX: usize = 16;

/// Threads for the delivery runtime: one a core, at least two, and two more for those that plugins block.
#[must_use]
pub fn worker_threads(cores: usize) -> usize {
    cores.clamp(2, CORES_MAX) + 2
}

/// Wall time for what is stored; monotonic time for what is measured.
#[derive(Clone, Copy, Debug)]
struct Clock {
    origin: Instant,
    /// A test gives a wall clock that follows the virtual time since `origin`.
    wall: fn(Instant) -> Timestamp,
}

impl Clock {
    fn system() -> Self {
        Self { origin: Instant::now(), wall: |_| SystemTime::now().into() }
    }

    fn wall(&self) -> Timestamp {
        (self.wall)(self.origin)
    }

    fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }
}

/// The running targets. Dropped without [`stop`](Self::stop), it drops what they were doing.
pub struct Deliverer {
    runtime: Handle,
    queue: Arc<dyn Queue>,
    feed: Feed,
    clock: Clock,
    crew: Crew,
    /// `None` once it was stopped.
    targets: Mutex<Option<HashMap<TargetNumber, Running>>>,
}

impl fmt::Debug for Deliverer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let targets = self.lock().as_ref().map_or(0, HashMap::len);
        f.debug_struct("Deliverer").field("targets", &targets).finish_non_exhaustive()
    }
}

impl Deliverer {
    /// Starts one task for each target on `runtime`.
    #[must_use]
    pub fn start(
        runtime: &Handle,
        queue: Arc<dyn Queue>,
        targets: Vec<(Settings, Arc<dyn Backend>)>,
        feed: Feed,
    ) -> Self {
        Self::start_with(runtime, queue, targets, &feed, Clock::system())
    }

    fn start_with(
        runtime: &Handle,
        queue: Arc<dyn Queue>,
        targets: Vec<(Settings, Arc<dyn Backend>)>,
        feed: &Feed,
        clock: Clock,
    ) -> Self {
        let running = Mutex::new(Some(HashMap::new()));
        let crew = Crew::new(runtime);
        let (runtime, feed) = (runtime.clone(), feed.clone());
        let deliverer = Self { runtime, queue, feed, clock, crew, targets: running };
        deliverer.change(&[], targets, Duration::ZERO);
        deliverer
    }

    /// Ends the targets of these numbers and starts others; those of neither list are left alone. A
    /// target that ends claims no more, has up to `grace` for its running calls and gives back what
    /// was not ended. One that starts under a running target's number first waits for its end, so
    /// that the two never work at the same time. Returns at once; does nothing after a stop.
    pub fn change(
        &self,
        ended: &[TargetNumber],
        started: Vec<(Settings, Arc<dyn Backend>)>,
        grace: Duration,
    ) {
        let mut targets = self.lock();
        let Some(targets) = targets.as_mut() else { return };
        targets.retain(|_, running| !running.has_ended());
        let until = Instant::now() + grace;
        for number in ended {
            if let Some(running) = targets.get(number) {
                running.stop(until);
            }
        }
        for (settings, backend) in started {
            let before = targets.remove(&settings.number);
            if let Some(before) = &before {
                before.stop(until);
            }
            let number = settings.number;
            let (queue, feed, clock) = (Arc::clone(&self.queue), self.feed.clone(), self.clock);
            let crew = self.crew.join();
            let called = Arc::clone(&backend);
            let target = move || {
                let (backend, queue) = (Arc::clone(&backend), Arc::clone(&queue));
                let calls = Calls::new(backend.clone(), crew.clone());
                Target::new(settings.clone(), backend, queue, feed.clone(), (clock, calls))
            };
            targets.insert(number, Running::start(&self.runtime, called, target, before));
        }
    }

    /// Claims no more, waits up to `grace` for running calls, gives back what was not ended, and
    /// answers when all that was settled is durable, or at the latest a few seconds after `grace`.
    ///
    /// A call that blocks its thread is left behind: wait here on another runtime than the targets',
    /// whose threads may all be blocked, and end that one without waiting for it.
    pub async fn stop(&self, grace: Duration) {
        let mut targets = self.lock().take().unwrap_or_default();
        let until = Instant::now() + grace;
        targets.values().for_each(|running| running.stop(until));
        let ended = async {
            for running in targets.values_mut() {
                running.ended().await;
            }
        };
        if timeout(grace + STOP_MARGIN, ended).await.is_err() {
            let left = targets.values().filter(|running| !running.has_ended()).count();
            tracing::error!(
                left,
                "targets did not stop in time; what they had claimed comes again"
            );
        }
        match timeout(STOP_MARGIN, self.queue.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, "the last outcomes are not on disk; they come again");
            }
            Err(_) => {
                tracing::error!(
                    "the disk took too long for the last outcomes; they may come again"
                );
            }
        }
    }

    /// What the plugin of a running target counts, by name.
    #[must_use]
    pub fn counters(&self, number: TargetNumber) -> BTreeMap<String, u64> {
        let targets = self.lock();
        let running = targets.as_ref().and_then(|targets| targets.get(&number));
        running.map(|running| running.backend().counters()).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Option<HashMap<TargetNumber, Running>>> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
