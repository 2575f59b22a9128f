//! Takes deliveries from the queue to their targets.
//!
//! One task a target claims, calls the backend, decides by the target's policy and settles; targets
//! share nothing but the threads, so that one that is slow, dead, panicking or hanging costs only
//! itself.
//! - At most `concurrency` calls of a target run at once, each with a deadline. A call that has not
//!   ended [`CUT_MARGIN`] after its deadline is cut: its deliveries count as perhaps sent, and its
//!   slot stays taken until its code really ends.
//! - A call that blocks its thread keeps that thread: the runtime needs [`worker_threads`].
//! - What is claimed is settled, or its lease ends and it is delivered again: at least once.
//! - A target that fails as a whole is held and probed with one delivery at a time. The failed probe
//!   is retried like any other, so that an event that only fails by itself moves out of the way of
//!   the rest; the backlog behind it stays where it is.

mod backend;
mod calls;
mod digest;
mod journal;
mod target;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::model::{TargetNumber, Timestamp};
use crate::retry::Policy;
use crate::store::Queue;
use crate::telemetry::Feed;
pub use backend::Backend;
pub use digest::{Attribute, DigestSettings, GROUPS_MAX, SAMPLE_BYTES_MAX, SAMPLE_MAX};
use target::Target;

/// How long after its deadline a call is cut. The backend itself fails earlier, and knows better
/// whether anything was sent.
pub const CUT_MARGIN: Duration = Duration::from_secs(1);
/// How much longer than a call its lease lasts, for settling.
const LEASE_MARGIN: Duration = Duration::from_secs(10);
/// How long [`Deliverer::stop`] waits for each of the last steps beyond its grace.
const STOP_MARGIN: Duration = Duration::from_secs(2);

/// Wait before a target whose task panicked runs again.
const PANIC_PAUSE: Duration = Duration::from_secs(1);

/// What the deliverer must know of one target.
#[derive(Clone, Debug)]
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

/// Most threads that [`worker_threads`] asks for.
pub const WORKER_THREADS_MAX: usize = 64;

/// Threads that the delivery runtime needs so that calls that block theirs leave two for the other
/// targets; bounded by [`WORKER_THREADS_MAX`], beyond which that many calls have to hang at once.
#[must_use]
pub fn worker_threads<'a>(targets: impl IntoIterator<Item = &'a Settings>) -> usize {
    let calls: usize = targets.into_iter().map(|target| target.concurrency).sum();
    (calls + 2).min(WORKER_THREADS_MAX)
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
    targets: JoinSet<()>,
    /// Set once: until when running calls may end.
    stop: watch::Sender<Option<Instant>>,
    queue: Arc<dyn Queue>,
}

impl fmt::Debug for Deliverer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliverer").field("targets", &self.targets.len()).finish_non_exhaustive()
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
        let (stop, stopped) = watch::channel(None);
        let mut tasks = JoinSet::new();
        for (settings, backend) in targets {
            let (queue, feed) = (Arc::clone(&queue), feed.clone());
            let target = move || {
                let (backend, queue) = (Arc::clone(&backend), Arc::clone(&queue));
                Target::new(settings.clone(), backend, queue, feed.clone(), clock)
            };
            tasks.spawn_on(keep_running(target, stopped.clone()), runtime);
        }
        Self { targets: tasks, stop, queue }
    }

    /// Claims no more, waits up to `grace` for running calls, gives back what was not ended, and
    /// answers when all that was settled is durable, or at the latest a few seconds after `grace`.
    ///
    /// A call that blocks its thread is left behind: wait here on another runtime than the targets',
    /// whose threads may all be blocked, and end that one without waiting for it.
    pub async fn stop(mut self, grace: Duration) {
        self.stop.send_replace(Some(Instant::now() + grace));
        let ended = async { while self.targets.join_next().await.is_some() {} };
        if timeout(grace + STOP_MARGIN, ended).await.is_err() {
            let left = self.targets.len();
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
}

/// Runs a target, anew when it panicked: a mistake of ours or of the store's must not end it for good.
/// What it had claimed comes again when its lease ends.
async fn keep_running(target: impl Fn() -> Target, stop: watch::Receiver<Option<Instant>>) {
    let mut running = JoinSet::new();
    loop {
        running.spawn(target().run(stop.clone()));
        match running.join_next().await {
            Some(Err(error)) if error.is_panic() && stop.borrow().is_none() => {
                tracing::error!(%error, "a target's task panicked, which is a mistake of the program");
                sleep(PANIC_PAUSE).await;
            }
            _ => return,
        }
    }
}
