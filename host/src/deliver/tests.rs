//! Targets that work, fail, hang, panic and recover. Hours pass in virtual time.

mod broken;
mod change;
mod engine;
mod halved;
mod held;
mod mixtures;
pub(super) mod queue;
mod sequence;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::clock::Clock;
use super::{Backend, Deliverer, Settings};
use crate::model::{
    Delivery, EventId, Failure, FailureKind, Receipt, TargetNumber, Timestamp, Verdict,
};
use crate::retry::{BROKEN_EVENTS, FAILURES_TO_OPEN, MaybeSent, PROBE_MAX, Policy};
use crate::store::{BoxFuture, Queue};
use crate::telemetry::{Feed, Note};
use queue::Memory;

const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const A: TargetNumber = TargetNumber(1);
const B: TargetNumber = TargetNumber(2);
const GRACE: Duration = Duration::from_secs(5);

fn event_id(number: u64) -> EventId {
    EventId::new(START, 1, number)
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What a call of the scripted backend does.
#[derive(Clone, Debug)]
enum Act {
    Take,
    Fail(FailureKind, Option<Duration>),
    Hang,
    Panic,
    Miscount,
}

const RETRY: Act = Act::Fail(FailureKind::Retry, None);

/// When a call came, and the event and attempt of each of its deliveries.
type Called = (Instant, Vec<(EventId, u32)>);

/// A backend that does what `script` says of the first delivery of a call, and records the calls.
struct Scripted<S> {
    script: S,
    one_by_one: bool,
    calls: Mutex<Vec<Called>>,
}

impl<S: Fn(&Delivery) -> Act + Send + Sync + 'static> Scripted<S> {
    fn each(script: S) -> Arc<Self> {
        Arc::new(Self { script, one_by_one: true, calls: Mutex::default() })
    }

    fn batch(script: S) -> Arc<Self> {
        Arc::new(Self { script, one_by_one: false, calls: Mutex::default() })
    }

    /// Seconds from the start of the test and attempt of every call for that event.
    fn calls_for(&self, number: u64, origin: Instant) -> Vec<(u64, u32)> {
        let calls = self.calls.lock().unwrap();
        let of_event = |(at, given): &Called| {
            let (_, attempt) = given.iter().find(|(id, _)| *id == event_id(number))?;
            Some((at.duration_since(origin).as_secs(), *attempt))
        };
        calls.iter().filter_map(of_event).collect()
    }

    fn count(&self) -> usize {
        self.calls.lock().unwrap().len()
    }

    /// How many deliveries each call was given.
    fn sizes(&self) -> Vec<usize> {
        self.calls.lock().unwrap().iter().map(|(_, given)| given.len()).collect()
    }
}

impl<S: Fn(&Delivery) -> Act + Send + Sync + 'static> Backend for Scripted<S> {
    fn deliver<'a>(
        &'a self,
        deliveries: &'a [Delivery],
        _: Instant,
    ) -> BoxFuture<'a, Vec<Verdict>> {
        let given = deliveries.iter().map(|delivery| (delivery.event.id, delivery.attempt));
        self.calls.lock().unwrap().push((Instant::now(), given.collect()));
        Box::pin(async move {
            match (self.script)(&deliveries[0]) {
                Act::Take => vec![Ok(Receipt::default()); deliveries.len()],
                Act::Fail(kind, after) => {
                    let failure = Failure { after, ..Failure::new(kind, "no answer") };
                    vec![Err(failure); deliveries.len()]
                }
                Act::Hang => std::future::pending().await,
                Act::Panic => panic!("a plugin's mistake"),
                Act::Miscount => Vec::new(),
            }
        })
    }

    fn one_by_one(&self) -> bool {
        self.one_by_one
    }
}

fn target(number: TargetNumber) -> Settings {
    Settings {
        name: format!("target-{}", number.0).into(),
        number,
        batch_max: 256,
        concurrency: 4,
        timeout: secs(10),
        policy: Policy::default(),
        digest: None,
    }
}

fn start(queue: &Arc<Memory>, targets: Vec<(Settings, Arc<dyn Backend>)>) -> Deliverer {
    start_with(queue, targets, &Feed::default())
}

fn start_with(
    queue: &Arc<Memory>,
    targets: Vec<(Settings, Arc<dyn Backend>)>,
    feed: &Feed,
) -> Deliverer {
    let wall = |origin: Instant| START.plus(origin.elapsed());
    let clock = Clock { origin: Instant::now(), run: 1, wall };
    let queue: Arc<dyn Queue> = Arc::clone(queue) as _;
    Deliverer::start_with(&Handle::current(), queue, targets, feed, clock)
}

#[tokio::test(start_paused = true)]
async fn a_target_that_takes_one_event_per_call_gets_each_event_once() {
    let (queue, backend) = (Memory::new(), Scripted::each(|_| Act::Take));
    let feed = Feed::default();
    let mut notes = feed.listen();
    queue.put(A, 0..10);
    let deliverer = start_with(&queue, vec![(target(A), backend.clone())], &feed);
    queue.emptied().await;
    assert_eq!(backend.sizes(), [1; 10]);
    assert_eq!(queue.settled(A), [("delivered", 10)].into());
    assert!(matches!(notes.try_recv(), Ok(Note::Delivered { attempt: 1, .. })));
    deliverer.stop(GRACE).await;
    assert!(queue.flushed());
}

#[tokio::test(start_paused = true)]
async fn a_target_that_takes_many_gets_full_batches() {
    let (queue, backend) = (Memory::new(), Scripted::batch(|_| Act::Take));
    queue.put(A, 0..1_000);
    let _deliverer = start(&queue, vec![(target(A), backend.clone())]);
    queue.emptied().await;
    assert_eq!(backend.sizes(), [256, 256, 256, 232]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_delivery_is_retried_until_it_is_delivered() {
    let backend = Scripted::each(|delivery| match delivery.attempt {
        1..=3 => RETRY,
        _ => Act::Take,
    });
    let (queue, origin) = (Memory::new(), Instant::now());
    queue.put(A, 0..1);
    let _deliverer = start(&queue, vec![(target(A), backend.clone())]);
    queue.emptied().await;
    let attempts: Vec<u32> = backend.calls_for(0, origin).iter().map(|call| call.1).collect();
    assert_eq!(attempts, [1, 2, 3, 4]);
    assert_eq!(queue.settled(A), [("retry", 3), ("delivered", 1)].into());
}

#[tokio::test(start_paused = true)]
async fn a_rejected_event_is_a_dead_letter_and_the_next_is_delivered() {
    let reject = |delivery: &Delivery| match delivery.event.id.number() {
        0..20 => Act::Fail(FailureKind::Reject, None),
        _ => Act::Take,
    };
    let (queue, backend) = (Memory::new(), Scripted::each(reject));
    queue.put(A, 0..30);
    let _deliverer = start(&queue, vec![(target(A), backend.clone())]);
    queue.emptied().await;
    assert_eq!(queue.settled(A), [("dead", 20), ("delivered", 10)].into());
    assert_eq!(queue.reasons(), ["no answer"; 20]);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_never_succeeds_becomes_a_dead_letter_in_time() {
    let backend = Scripted::each(|delivery| match delivery.event.id.number() {
        0 => RETRY,
        _ => Act::Take,
    });
    let (queue, origin) = (Memory::new(), Instant::now());
    let policy = Policy { give_up_after: secs(3600), ..Policy::default() };
    queue.put(A, 0..1);
    let _deliverer = start(&queue, vec![(Settings { policy, ..target(A) }, backend.clone())]);
    // Others get through all the time, so that the target counts as alive.
    for number in 1..3_700 {
        queue.put(A, number..number + 1);
        sleep(secs(1)).await;
    }
    let calls = backend.calls_for(0, origin);
    assert_eq!(calls.last().map(|call| call.0), Some(3600), "the last attempt is at the limit");
    assert_eq!(queue.depth(A).pending, 0);
    assert_eq!(queue.reasons().len(), 1);
    assert!(queue.reasons()[0].starts_with("given up after 1h"), "{:?}", queue.reasons());
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_down_is_probed_and_gets_everything_after_its_recovery() {
    for batch in [false, true] {
        let alive = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&alive);
        let script = move |_: &Delivery| match seen.load(Ordering::Relaxed) {
            true => Act::Take,
            false => RETRY,
        };
        let queue = Memory::new();
        let backend = if batch { Scripted::batch(script) } else { Scripted::each(script) };
        queue.put(A, 0..2_000);
        let _deliverer = start(&queue, vec![(target(A), backend.clone())]);
        sleep(secs(10 * 3600)).await;
        // The probes of ten hours: without them each of the 2,000 would be tried a dozen times.
        let probes_max = 10 * 3600 / PROBE_MAX.as_secs() + 20;
        assert!(backend.count() as u64 <= probes_max, "{} calls", backend.count());
        // Every other probe may make one.
        assert!(queue.depth(A).retrying <= probes_max / 2, "{:?}", queue.depth(A));
        assert_eq!(queue.depth(A).pending, 2_000);
        assert!(backend.sizes().iter().skip(8).all(|size| *size == 1), "a probe is one delivery");
        alive.store(true, Ordering::Relaxed);
        queue.emptied().await;
        assert_eq!(queue.settled(A)["delivered"], 2_000);
        assert_eq!(queue.settled(A).get("dead"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn deliveries_that_waited_too_long_for_a_target_expire_together() {
    let (queue, backend) = (Memory::new(), Scripted::each(|_| RETRY));
    let policy = Policy { give_up_after: secs(3600), ..Policy::default() };
    queue.put(A, 0..1_000);
    let _deliverer = start(&queue, vec![(Settings { policy, ..target(A) }, backend.clone())]);
    sleep(secs(1800)).await;
    queue.put(A, 1_000..1_010);
    sleep(secs(1700)).await;
    assert_eq!(queue.reasons(), Vec::<String>::new(), "nothing dies before its time");
    sleep(secs(300)).await;
    let expired = queue.reasons().into_iter().filter(|reason| reason.contains("never attempted"));
    assert_eq!(expired.count(), 1, "one record for all of them");
    assert!(queue.depth(A).pending >= 10, "the later ones are not yet too old");
    queue.emptied().await;
    assert_eq!(queue.settled(A).get("delivered"), None);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_always_fails_does_not_block_others() {
    // First one in two, so that hundreds of them wait to be retried; then more in a row than hold
    // the target.
    let in_a_row = 800..800 + u64::from(FAILURES_TO_OPEN) * 2;
    let end = in_a_row.end;
    let poison = move |number: u64| number < 800 && number % 2 == 1 || in_a_row.contains(&number);
    let poisoned = (0..end).filter(|number| poison(*number)).count() as u64;
    let script = move |delivery: &Delivery| match poison(delivery.event.id.number()) {
        true => RETRY,
        false => Act::Take,
    };
    let (queue, backend) = (Memory::new(), Scripted::each(script));
    queue.put(A, 0..end + 100);
    let _deliverer = start(&queue, vec![(target(A), backend.clone())]);
    sleep(secs(3600)).await;
    assert_eq!(queue.settled(A).get("delivered"), Some(&(400 + 100)));
    assert_eq!(queue.depth(A).pending, poisoned);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_target_gets_nothing_while_it_asks_for_that_and_no_attempt_counts() {
    let calls = AtomicUsize::new(0);
    let script = move |_: &Delivery| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => Act::Fail(FailureKind::Throttled, Some(secs(90))),
        _ => Act::Take,
    };
    let (queue, backend, origin) = (Memory::new(), Scripted::each(script), Instant::now());
    queue.put(A, 0..1);
    let _deliverer = start(&queue, vec![(target(A), backend.clone())]);
    queue.emptied().await;
    assert_eq!(backend.calls_for(0, origin), [(0, 1), (90, 1)]);
    assert_eq!(queue.settled(A), [("release", 1), ("delivered", 1)].into());
}

#[tokio::test(start_paused = true)]
async fn a_broken_target_loses_nothing_however_long_it_takes_to_fix_it() {
    let is_fixed = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&is_fixed);
    let script = move |_: &Delivery| match seen.load(Ordering::Relaxed) {
        true => Act::Take,
        false => Act::Fail(FailureKind::Broken, None),
    };
    let (queue, backend) = (Memory::new(), Scripted::each(script));
    queue.put(A, 0..100);
    let settings = Settings { concurrency: 1, ..target(A) };
    let _deliverer = start(&queue, vec![(settings, backend.clone())]);
    sleep(secs(10 * 24 * 3600)).await;
    assert_eq!(queue.depth(A).pending, 100);
    // The events before the last one that was needed to know.
    assert_eq!(queue.depth(A).retrying, BROKEN_EVENTS as u64 - 1);
    assert_eq!(queue.settled(A).get("dead"), None);
    is_fixed.store(true, Ordering::Relaxed);
    queue.emptied().await;
    assert_eq!(queue.settled(A)["delivered"], 100);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_hangs_panics_or_miscounts_is_retried_and_delays_no_other() {
    for act in [Act::Hang, Act::Panic, Act::Miscount] {
        let bad = {
            let act = act.clone();
            Scripted::batch(move |delivery: &Delivery| match delivery.attempt {
                1 => act.clone(),
                _ => Act::Take,
            })
        };
        let good = Scripted::each(|_| Act::Take);
        let queue = Memory::new();
        queue.put(A, 0..1);
        queue.put(B, 0..1_000);
        let _deliverer = start(&queue, vec![(target(A), bad.clone()), (target(B), good.clone())]);
        sleep(secs(1)).await;
        assert_eq!(queue.settled(B), [("delivered", 1_000)].into(), "{act:?}");
        queue.emptied().await;
        assert_eq!(queue.settled(A), [("retry", 1), ("delivered", 1)].into(), "{act:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_may_have_arrived_is_not_sent_twice_if_the_policy_forbids_it() {
    let policy = Policy { maybe_sent: MaybeSent::DeadLetter, ..Policy::default() };
    let settings = Settings { policy, ..target(A) };
    // Cut at its deadline.
    let (queue, backend) = (Memory::new(), Scripted::each(|_| Act::Hang));
    queue.put(A, 0..1);
    let deliverer = start(&queue, vec![(settings.clone(), backend.clone())]);
    queue.emptied().await;
    assert!(queue.reasons()[0].starts_with("may have arrived"), "{:?}", queue.reasons());
    // Cut by the stop.
    queue.put(A, 1..2);
    sleep(secs(1)).await;
    deliverer.stop(secs(2)).await;
    assert_eq!(queue.settled(A), [("dead", 2)].into());
    assert_eq!(backend.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_job_left_by_its_call_counts_towards_concurrency_until_it_ends() {
    struct Leaving(Arc<AtomicUsize>, AtomicUsize);
    impl Backend for Leaving {
        fn deliver<'a>(&'a self, _: &'a [Delivery], _: Instant) -> BoxFuture<'a, Vec<Verdict>> {
            self.1.fetch_add(1, Ordering::Relaxed);
            Box::pin(async { vec![Ok(Receipt::default())] })
        }
        fn one_by_one(&self) -> bool {
            true
        }
        fn left_jobs(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }
    let left = Arc::new(AtomicUsize::new(4));
    let (queue, backend) =
        (Memory::new(), Arc::new(Leaving(Arc::clone(&left), AtomicUsize::new(0))));
    queue.put(A, 0..3);
    let _deliverer = start(&queue, vec![(target(A), backend.clone())]);
    sleep(secs(60)).await;
    assert_eq!(backend.1.load(Ordering::Relaxed), 0, "all four slots are taken");
    left.store(3, Ordering::Relaxed);
    queue.emptied().await;
    assert_eq!(backend.1.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn outcomes_wait_until_the_store_accepts_them() {
    let (queue, backend) = (Memory::new(), Scripted::batch(|_| Act::Take));
    queue.fail_settles(60);
    queue.put(A, 0..100);
    let _deliverer = start(&queue, vec![(target(A), backend.clone())]);
    queue.emptied().await;
    assert_eq!(backend.count(), 1, "nothing was delivered again meanwhile");
    assert_eq!(queue.settled(A), [("delivered", 100)].into());
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_store_does_not_end_a_target() {
    let (queue, backend) = (Memory::new(), Scripted::batch(|_| Act::Take));
    queue.panic_once();
    queue.put(A, 0..10);
    let _deliverer = start(&queue, vec![(target(A), backend.clone())]);
    queue.emptied().await;
    assert_eq!(backend.sizes(), [10, 10], "again when the lease had ended");
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_calls_that_end_in_time_and_releases_the_others() {
    struct Slow;
    impl Backend for Slow {
        fn deliver<'a>(&'a self, given: &'a [Delivery], _: Instant) -> BoxFuture<'a, Vec<Verdict>> {
            Box::pin(async move {
                // The first ends within the grace, the others do not.
                let slow = if given[0].event.id.number() == 0 { 3 } else { 9 };
                sleep(secs(slow)).await;
                vec![Ok(Receipt::default())]
            })
        }
        fn one_by_one(&self) -> bool {
            true
        }
    }
    let queue = Memory::new();
    queue.put(A, 0..100);
    let deliverer = start(&queue, vec![(target(A), Arc::new(Slow))]);
    sleep(secs(1)).await;
    let stopped = Instant::now();
    deliverer.stop(GRACE).await;
    assert_eq!(stopped.elapsed().as_secs(), GRACE.as_secs(), "virtual time");
    assert_eq!(queue.settled(A), [("delivered", 1), ("release", 3)].into());
    assert_eq!(queue.depth(A).pending, 99);
    assert!(queue.flushed());
}

/// In real time: a blocked thread is invisible to the virtual clock.
#[test]
fn a_target_that_blocks_its_threads_for_ever_delays_neither_the_others_nor_the_stop() {
    struct Blocking(Mutex<std::sync::mpsc::Receiver<()>>);
    impl Backend for Blocking {
        fn deliver<'a>(&'a self, given: &'a [Delivery], _: Instant) -> BoxFuture<'a, Vec<Verdict>> {
            Box::pin(async move {
                // Ends with the sender, at the end of the test.
                let _ = self.0.lock().map(|gate| gate.recv());
                vec![Ok(Receipt::default()); given.len()]
            })
        }
        fn one_by_one(&self) -> bool {
            true
        }
    }
    let (gate, blocked) = std::sync::mpsc::channel();
    let settings = [target(A), target(B)];
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(super::worker_threads(2))
        .enable_time()
        .build()
        .unwrap();
    let [a, b] = settings;
    runtime.block_on(async {
        let queue = Memory::new();
        let good = Scripted::each(|_| Act::Take);
        let blocking = Arc::new(Blocking(Mutex::new(blocked)));
        let targets: Vec<(Settings, Arc<dyn Backend>)> = vec![(a, blocking), (b, good)];
        let deliverer = start(&queue, targets);
        queue.put(A, 0..8);
        sleep(Duration::from_millis(20)).await;
        queue.put(B, 0..1_000);
        while queue.depth(B).pending > 0 {
            sleep(Duration::from_millis(5)).await;
        }
        deliverer.stop(Duration::from_millis(50)).await;
        assert_eq!(queue.settled(A), [("release", 4)].into());
    });
    drop(gate);
    runtime.shutdown_background();
}
