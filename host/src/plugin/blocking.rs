//! The blocking jobs of one target: a bounded number at once, and a count of the abandoned ones.
//!
//! A job occupies a thread while it runs. A slot that all targets share bounds these threads by the cores of the
//! machine, however many targets there are. Jobs that hang would keep all of these slots: while none of them is
//! released for [`STALL`], a job runs without one.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use dispatcher_plugin_api::abi::JobBox;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::sleep;

/// Most blocking jobs that run at once for one target.
pub const BLOCKING_JOBS_MAX: usize = 16;
/// Blocking jobs of all targets that run at once, for each core, as long as they end.
const JOBS_PER_CORE: usize = 8;
/// [`JOBS_PER_CORE`] counts at least and at most this many cores: one target cannot take all slots.
const CORES_MIN: usize = 4;
const CORES_MAX: usize = 16;
/// If no slot is released for so long, the jobs that have them hang.
const STALL: Duration = Duration::from_secs(1);

/// The slots of the process: it has only so many cores, whatever runs in it.
static SHARED: LazyLock<SharedSlots> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(CORES_MIN, usize::from);
    SharedSlots::new(cores.clamp(CORES_MIN, CORES_MAX) * JOBS_PER_CORE)
});

/// The slots that all targets share.
#[derive(Debug)]
struct SharedSlots {
    free: Semaphore,
    /// How many were released.
    released: AtomicU64,
}

/// A shared slot; released when dropped.
struct SharedSlot<'a> {
    of: &'a SharedSlots,
    _permit: SemaphorePermit<'a>,
}

impl Drop for SharedSlot<'_> {
    fn drop(&mut self) {
        self.of.released.fetch_add(1, Ordering::Relaxed);
    }
}

impl SharedSlots {
    const fn new(count: usize) -> Self {
        Self { free: Semaphore::const_new(count), released: AtomicU64::new(0) }
    }

    /// Waits for a slot; `None` when all of them hang. Timers need the runtime, which a plugin's own thread has not
    /// entered.
    async fn take(&self, runtime: &Handle) -> Option<SharedSlot<'_>> {
        let slot = |permit| SharedSlot { of: self, _permit: permit };
        if let Ok(permit) = self.free.try_acquire() {
            return Some(slot(permit));
        }
        let mut acquired = pin!(self.free.acquire());
        loop {
            let released = self.released.load(Ordering::Relaxed);
            let stalled = {
                let _entered = runtime.enter();
                sleep(STALL)
            };
            tokio::select! {
                permit = &mut acquired => return permit.ok().map(slot),
                () = stalled => if self.released.load(Ordering::Relaxed) == released { return None },
            }
        }
    }
}

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
        let shared = SHARED.take(&self.runtime).await;
        let (waiting, running) = JobEnd::pair(self.abandoned);
        let run = move || {
            let _running = running;
            job.run();
            drop(job);
            // The slot is free once the work is over, even if its delivery has been dropped.
            drop(slot);
            drop(shared);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_job_waits_while_others_end_and_runs_without_a_slot_when_they_hang() {
        let (slots, runtime) = (SharedSlots::new(2), Handle::current());
        let first = slots.take(&runtime).await;
        let second = slots.take(&runtime).await;
        assert!(first.is_some() && second.is_some());
        // They hang.
        assert!(slots.take(&runtime).await.is_none());
        let release = async {
            // Each takes nearly as long as it may.
            sleep(STALL * 3 / 4).await;
            drop(first);
            sleep(STALL * 3 / 4).await;
            drop(second);
        };
        let ((one, two, three), ()) = tokio::join!(
            async {
                tokio::join!(slots.take(&runtime), slots.take(&runtime), slots.take(&runtime))
            },
            release
        );
        assert!(one.is_some() && two.is_some() && three.is_none());
        drop(one);
        assert!(slots.take(&runtime).await.is_some());
    }
}
