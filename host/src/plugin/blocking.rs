//! The blocking jobs of one target: a bounded number at once, and a count of the abandoned ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};

use dispatcher_plugin_api::abi::JobBox;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// Most blocking jobs that run at once for one target.
pub const BLOCKING_JOBS_MAX: usize = 16;

/// Runs the jobs of one target. Clones share their limit and count.
#[derive(Clone, Debug)]
pub(super) struct BlockingJobs {
    slots: Arc<Semaphore>,
    abandoned: Arc<AtomicIsize>,
    runtime: Handle,
}

impl BlockingJobs {
    pub(super) fn new(runtime: Handle) -> Self {
        let slots = Arc::new(Semaphore::new(BLOCKING_JOBS_MAX));
        Self { slots, abandoned: Arc::default(), runtime }
    }

    /// Jobs that still run though their delivery is over.
    pub(super) fn abandoned(&self) -> usize {
        usize::try_from(self.abandoned.load(Ordering::Acquire)).unwrap_or_default()
    }

    /// Runs a job when a slot is free; `false` when it did not run. A job that has begun runs to its
    /// end even if this future is dropped.
    pub(super) async fn run(self, mut job: JobBox) -> bool {
        let Ok(slot) = self.slots.acquire_owned().await else { return false };
        let (waiting, running) = JobEnd::pair(self.abandoned);
        let run = move || {
            let _running = running;
            job.run();
            drop(job);
            // The slot is free once the work is over, even if its delivery has been dropped.
            drop(slot);
        };
        let done = self.runtime.spawn_blocking(run).await.is_ok();
        drop(waiting);
        done
    }
}

/// One end of a job: the delivery that waits for it, or the job. Where the delivery ends first, the
/// job counts as abandoned until it ends too.
struct JobEnd {
    is_job: bool,
    other_ended: Arc<AtomicBool>,
    abandoned: Arc<AtomicIsize>,
}

impl JobEnd {
    fn pair(abandoned: Arc<AtomicIsize>) -> (Self, Self) {
        let ended = Arc::new(AtomicBool::new(false));
        let waiting = Self {
            is_job: false,
            other_ended: Arc::clone(&ended),
            abandoned: Arc::clone(&abandoned),
        };
        (waiting, Self { is_job: true, other_ended: ended, abandoned })
    }
}

impl Drop for JobEnd {
    fn drop(&mut self) {
        let is_last = self.other_ended.swap(true, Ordering::AcqRel);
        // The two drops may run in any order; the sum is right once both have run.
        match (self.is_job, is_last) {
            (false, false) => self.abandoned.fetch_add(1, Ordering::AcqRel),
            (true, true) => self.abandoned.fetch_sub(1, Ordering::AcqRel),
            _ => 0,
        };
    }
}
