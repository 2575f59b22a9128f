//! Call slots: they bound how many threads the code of plugins can block.
//!
//! A plugin is asynchronous. It needs a thread only for microseconds, so a thread per core serves any number of
//! calls. Against a plugin that blocks its thread, a call takes a slot whenever its code runs, and there are fewer
//! slots than threads. A call that finds no free slot after [`ATTEMPTS_MAX`] attempts runs as blocking code, for
//! which the runtime starts another thread. That costs more, so it is only done while slots are blocked, and by at most
//! [`BLOCKING_CALLS`] calls at once, whatever the number of targets. While a call waits for that in vain, because others
//! hang or block for long, the number grows; it is small again once they have ended.
//!
//! A target whose code blocks for [`BLOCKS`] or longer, again and again, never takes the last slot. So however many
//! such targets there are, the others wait only for one another. Once proves nothing: on a busy machine the thread may
//! have waited for a core.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;
use tokio::time::{Sleep, sleep};

/// How long a call without a slot waits before each attempt to get one, and how often it tries.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(1);
const ATTEMPTS_MAX: u32 = 20;
/// How many calls may run as blocking code at first, and how many more after each call that waited in vain.
const BLOCKING_CALLS: usize = 8;
/// Code that runs so long without a pause blocks its thread, or the thread got no core. It is as long as a call waits
/// for a slot before it runs without one, so what is shorter delays no other call for longer.
const BLOCKS: Duration = ATTEMPT_PAUSE.saturating_mul(ATTEMPTS_MAX);
/// Code that runs so long did not only wait for a core: it counts as twice.
const BLOCKS_SURELY: Duration = BLOCKS.saturating_mul(25);
/// A target blocks if its code does that twice with fewer quick runs in between, until it has run so often quickly.
const QUICK_RUNS: usize = 64;
/// A call waits in vain when it made so many attempts.
const STALL_ATTEMPTS: u32 = 500;

/// A number of slots.
#[derive(Debug)]
struct Slots {
    max: usize,
    taken: AtomicUsize,
    /// A call waited without success since a slot was last released, so no other call needs to wait.
    blocked: AtomicBool,
    /// How often the code must still run quickly until its long runs are forgotten. Each one adds [`QUICK_RUNS`], so the
    /// target blocks while there are more.
    quick_runs_due: AtomicUsize,
}

impl Slots {
    const fn new(max: usize) -> Self {
        let (taken, quick_runs_due) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { max, taken, blocked: AtomicBool::new(false), quick_runs_due }
    }

    /// A slot, unless only so many are left.
    fn take(&self, left: usize) -> Option<Slot<'_>> {
        let slot = Slot(self);
        // If there was none, the drop undoes the addition.
        (self.taken.fetch_add(1, Ordering::Relaxed) < self.max - left).then_some(slot)
    }

    /// Notes how long the code of the target ran.
    fn ran(&self, time: Duration) {
        let due = self.quick_runs_due.load(Ordering::Relaxed);
        // Written only if it changes.
        if time >= BLOCKS {
            let more = if time >= BLOCKS_SURELY { 2 * QUICK_RUNS } else { QUICK_RUNS };
            self.quick_runs_due.store((due + more).min(2 * QUICK_RUNS), Ordering::Relaxed);
        } else if due > 0 {
            self.quick_runs_due.store(due - 1, Ordering::Relaxed);
        }
    }

    fn blocks(&self) -> bool {
        self.quick_runs_due.load(Ordering::Relaxed) > QUICK_RUNS
    }
}

/// A taken slot; released when dropped.
struct Slot<'a>(&'a Slots);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The slots of one target, and those that all targets share. A call needs one of each.
#[derive(Clone, Debug)]
pub(super) struct CallSlots {
    all: Arc<Slots>,
    own: Arc<Slots>,
    blocking: Arc<Blocking>,
}

/// The calls of all targets that run as blocking code.
#[derive(Debug)]
struct Blocking {
    running: AtomicUsize,
    allowed: AtomicUsize,
    /// How often more were allowed, so that those who wait at the same time do not each ask for more.
    raises: AtomicUsize,
}

impl Blocking {
    const fn new() -> Self {
        let (running, raises) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { running, allowed: AtomicUsize::new(BLOCKING_CALLS), raises }
    }

    /// Allows more calls, unless that happened since there were so many `raises`.
    fn raise(&self, raises: usize) {
        let relaxed = Ordering::Relaxed;
        if self.raises.compare_exchange(raises, raises + 1, relaxed, relaxed).is_ok() {
            self.allowed.fetch_add(BLOCKING_CALLS, relaxed);
        }
    }

    /// Runs code that may block this thread. `None` if too many do that now.
    fn run<T>(&self, code: impl FnOnce() -> T) -> Option<T> {
        let _end = End(self);
        let before = self.running.fetch_add(1, Ordering::Relaxed);
        (before < self.allowed.load(Ordering::Relaxed)).then(|| block_in_place(code))
    }
}

/// Ends one call when dropped, also by a panic.
struct End<'a>(&'a Blocking);

impl Drop for End<'_> {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::Relaxed) <= BLOCKING_CALLS {
            self.0.allowed.store(BLOCKING_CALLS, Ordering::Relaxed);
        }
    }
}

impl CallSlots {
    /// Slots for the threads of this runtime. One thread is never taken, and one target gets at most half.
    pub(super) fn new(runtime: &Handle) -> Self {
        let threads = runtime.metrics().num_workers();
        let one_thread = runtime.runtime_flavor() == RuntimeFlavor::CurrentThread;
        let max = if one_thread { usize::MAX } else { (threads - 1).max(1) };
        let own = if one_thread { usize::MAX } else { (threads / 2).max(1) };
        Self {
            all: Arc::new(Slots::new(max)),
            own: Arc::new(Slots::new(own)),
            blocking: Arc::new(Blocking::new()),
        }
    }

    /// One of each, if both are free.
    fn take(&self) -> Result<[Slot<'_>; 2], &Slots> {
        let Some(own) = self.own.take(0) else { return Err(&self.own) };
        let left = usize::from(self.own.blocks() && self.all.max > 1);
        self.all.take(left).map(|all| [own, all]).ok_or(&self.all)
    }

    /// The slots of another target.
    pub(super) fn for_target(&self) -> Self {
        Self {
            all: Arc::clone(&self.all),
            own: Arc::new(Slots::new(self.own.max)),
            blocking: Arc::clone(&self.blocking),
        }
    }

    /// Runs a call within the slots.
    pub(super) fn run<F: Future>(&self, call: F) -> RunWithSlot<F> {
        let (call, slots) = (Box::pin(call), self.clone());
        RunWithSlot { slots, call, attempts: 0, raises: 0, wait: None }
    }
}

/// A call that takes a slot whenever its code runs.
pub(super) struct RunWithSlot<F> {
    slots: CallSlots,
    call: Pin<Box<F>>,
    /// How often it found no free slot.
    attempts: u32,
    /// How often more calls had been allowed when it began to wait.
    raises: usize,
    wait: Option<Pin<Box<Sleep>>>,
}

impl<F: Future> Future for RunWithSlot<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { slots, call, attempts, raises, wait } = &mut *self;
        loop {
            let full = match slots.take() {
                Ok(taken) => {
                    (*attempts, *wait) = (0, None);
                    let began = Instant::now();
                    let polled = call.as_mut().poll(context);
                    slots.own.ran(began.elapsed());
                    for slot in taken {
                        // Written only if it changes, because all threads read it.
                        if slot.0.blocked.load(Ordering::Relaxed) {
                            slot.0.blocked.store(false, Ordering::Relaxed);
                        }
                    }
                    return polled;
                }
                Err(full) => full,
            };
            if full.blocked.load(Ordering::Relaxed) || *attempts >= ATTEMPTS_MAX {
                full.blocked.store(true, Ordering::Relaxed);
                if *attempts >= STALL_ATTEMPTS {
                    slots.blocking.raise(*raises);
                    *attempts = 0;
                }
                let began = Instant::now();
                let polled = slots.blocking.run(|| call.as_mut().poll(context));
                if polled.is_some() {
                    slots.own.ran(began.elapsed());
                }
                if let Some(polled) = polled {
                    (*attempts, *wait) = (0, None);
                    return polled;
                }
            }
            if *attempts == 0 {
                *raises = slots.blocking.raises.load(Ordering::Relaxed);
            }
            let waiting = wait.get_or_insert_with(|| Box::pin(sleep(ATTEMPT_PAUSE)));
            if waiting.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            *attempts += 1;
            *wait = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use super::*;

    #[test]
    fn calls_that_block_their_threads_do_not_stop_other_calls_however_many_they_are() {
        const THREADS: usize = 4;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .enable_time()
            .build()
            .unwrap();
        let (gate, blocked) = mpsc::channel::<()>();
        let (blocked, inside) = (Arc::new(Mutex::new(blocked)), Arc::new(AtomicUsize::new(0)));
        let slots = CallSlots::new(runtime.handle());
        for _ in 0..3 {
            let target = slots.for_target();
            for _ in 0..2 * THREADS {
                let (blocked, inside) = (Arc::clone(&blocked), Arc::clone(&inside));
                runtime.spawn(target.run(async move {
                    inside.fetch_add(1, Ordering::SeqCst);
                    // Blocks until the end of the test drops the sender.
                    let _ = blocked.lock().map(|gate| gate.recv());
                }));
            }
        }
        let others = slots.for_target();
        runtime.block_on(async {
            while inside.load(Ordering::SeqCst) < 6 * THREADS {
                sleep(Duration::from_millis(1)).await;
            }
            for _ in 0..20 {
                tokio::spawn(others.run(sleep(Duration::from_millis(1)))).await.unwrap();
            }
        });
        drop(gate);
        runtime.shutdown_background();
    }

    #[test]
    fn no_target_takes_the_slots_of_another() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
        let slots = CallSlots::new(runtime.handle());
        let (one, other) = (slots.for_target(), slots.for_target());
        let taken: Vec<_> = (0..8).filter_map(|_| one.own.take(0)).collect();
        assert_eq!(taken.len(), 2);
        assert!(other.own.take(0).is_some());
        drop(taken);
        assert!(one.own.take(0).is_some());
    }

    #[test]
    fn targets_that_block_leave_a_slot_to_those_that_do_not_however_many_they_are() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
        let slots = CallSlots::new(runtime.handle());
        let blocking: Vec<_> = (0..300).map(|_| slots.for_target()).collect();
        blocking.iter().chain(&blocking).for_each(|target| target.own.ran(BLOCKS));
        let taken: Vec<_> = blocking.iter().filter_map(|target| target.take().ok()).collect();
        assert_eq!(taken.len(), 2, "of three");
        let other = slots.for_target();
        for _ in 0..1_000 {
            assert!(other.take().is_ok());
        }
        drop(taken);
        // One that does not block any more has all of them again.
        for left in (0..QUICK_RUNS).rev() {
            blocking[0].own.ran(BLOCKS / 2);
            assert_eq!(blocking[0].own.blocks(), left > 0);
        }
    }

    #[test]
    fn a_target_whose_thread_waited_for_a_core_once_does_not_count_as_one_that_blocks() {
        let slots = Slots::new(1);
        let quick = BLOCKS - Duration::from_nanos(1);
        for _ in 0..10 {
            slots.ran(BLOCKS);
            assert!(!slots.blocks(), "once");
            (0..QUICK_RUNS).for_each(|_| slots.ran(quick));
        }
        // Not only in a row: other code of the same call may be quick.
        slots.ran(BLOCKS);
        (1..QUICK_RUNS).for_each(|_| slots.ran(quick));
        slots.ran(BLOCKS);
        assert!(slots.blocks());
        slots.ran(quick);
        assert!(!slots.blocks());
        (0..100).for_each(|_| slots.ran(BLOCKS));
        (0..QUICK_RUNS).for_each(|_| slots.ran(quick));
        assert!(!slots.blocks(), "however often before");
        slots.ran(BLOCKS_SURELY);
        assert!(slots.blocks(), "it is too long for that");
    }
}
