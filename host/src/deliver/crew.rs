//! Few threads for many calls, and still none that a plugin can take from the others.
//!
//! A plugin is asynchronous: it has a thread for microseconds, and as many threads as cores serve any
//! number of calls. One that never gives its thread back is bound by seats: a call takes one while its
//! code runs, and there are fewer than the runtime has threads. A call that finds none free after
//! [`LOOKS_MAX`] looks runs as blocking code, for which the runtime brings another thread in its place. That is
//! dearer, so it is what happens only while the seats are lost.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;
use tokio::time::{Sleep, sleep};

/// How often a call without a seat looks for one, and how long it waits before each look.
const LOOK_PAUSE: Duration = Duration::from_millis(1);
const LOOKS_MAX: u32 = 20;

/// Places for code of plugins.
#[derive(Debug)]
struct Seats {
    max: usize,
    taken: AtomicUsize,
    /// Somebody waited in vain since one was last given back: nobody else need wait.
    lost: AtomicBool,
}

impl Seats {
    const fn new(max: usize) -> Self {
        Self { max, taken: AtomicUsize::new(0), lost: AtomicBool::new(false) }
    }

    fn take(&self) -> Option<Seat<'_>> {
        let seat = Seat(self);
        // Dropped again where there was none.
        (self.taken.fetch_add(1, Ordering::Relaxed) < self.max).then_some(seat)
    }
}

struct Seat<'a>(&'a Seats);

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The seats of all targets, and of one.
#[derive(Clone, Debug)]
pub(super) struct Crew {
    all: Arc<Seats>,
    own: Arc<Seats>,
}

impl Crew {
    /// For the targets of that runtime. One thread is nobody's, and no target takes more than half.
    pub(super) fn new(runtime: &Handle) -> Self {
        let threads = runtime.metrics().num_workers();
        let one_thread = runtime.runtime_flavor() == RuntimeFlavor::CurrentThread;
        let max = if one_thread { usize::MAX } else { (threads - 1).max(1) };
        let own = if one_thread { usize::MAX } else { (threads / 2).max(1) };
        Self { all: Arc::new(Seats::new(max)), own: Arc::new(Seats::new(own)) }
    }

    /// For one more target.
    pub(super) fn join(&self) -> Self {
        Self { all: Arc::clone(&self.all), own: Arc::new(Seats::new(self.own.max)) }
    }

    pub(super) fn run<F: Future>(&self, call: F) -> Run<F> {
        Run { crew: self.clone(), call: Box::pin(call), looks: 0, wait: None }
    }
}

/// A call that keeps to the seats.
pub(super) struct Run<F> {
    crew: Crew,
    call: Pin<Box<F>>,
    /// How often it found no seat.
    looks: u32,
    wait: Option<Pin<Box<Sleep>>>,
}

impl<F: Future> Future for Run<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { crew, call, looks, wait } = &mut *self;
        loop {
            let full = match (crew.own.take(), crew.all.take()) {
                (Some(own), Some(all)) => {
                    (*looks, *wait) = (0, None);
                    let polled = call.as_mut().poll(context);
                    for seat in [own, all] {
                        // Written only where it changes: all threads read it.
                        if seat.0.lost.load(Ordering::Relaxed) {
                            seat.0.lost.store(false, Ordering::Relaxed);
                        }
                    }
                    return polled;
                }
                (None, _) => &crew.own,
                (_, None) => &crew.all,
            };
            if full.lost.load(Ordering::Relaxed) || *looks >= LOOKS_MAX {
                full.lost.store(true, Ordering::Relaxed);
                (*looks, *wait) = (0, None);
                return block_in_place(|| call.as_mut().poll(context));
            }
            let waiting = wait.get_or_insert_with(|| Box::pin(sleep(LOOK_PAUSE)));
            if waiting.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            *looks += 1;
            *wait = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use super::*;

    #[test]
    fn calls_that_never_give_their_threads_back_leave_the_others_theirs() {
        const THREADS: usize = 4;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .enable_time()
            .build()
            .unwrap();
        let (gate, blocked) = mpsc::channel::<()>();
        let (blocked, inside) = (Arc::new(Mutex::new(blocked)), Arc::new(AtomicUsize::new(0)));
        let crew = Crew::new(runtime.handle());
        for _ in 0..3 {
            let target = crew.join();
            for _ in 0..THREADS {
                let (blocked, inside) = (Arc::clone(&blocked), Arc::clone(&inside));
                runtime.spawn(target.run(async move {
                    inside.fetch_add(1, Ordering::SeqCst);
                    // Ends with the sender, at the end of the test.
                    let _ = blocked.lock().map(|gate| gate.recv());
                }));
            }
        }
        let others = crew.join();
        runtime.block_on(async {
            while inside.load(Ordering::SeqCst) < 3 * THREADS {
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
    fn no_target_takes_the_seats_of_another() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
        let crew = Crew::new(runtime.handle());
        let (one, other) = (crew.join(), crew.join());
        let taken: Vec<_> = (0..8).filter_map(|_| one.own.take()).collect();
        assert_eq!(taken.len(), 2);
        assert!(other.own.take().is_some());
        drop(taken);
        assert!(one.own.take().is_some());
    }
}
