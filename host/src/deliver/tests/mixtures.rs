//! Events that a firewall refuses, between others and outages: the others are delivered, and only a target that refuses
//! everything is broken. Days pass in virtual time.

use proptest::prelude::*;

use super::*;
use crate::retry::{BROKEN_AFTER, SUSPECTED_EVENTS};
use crate::store::HoldKind;
use crate::telemetry::{AlarmKind, Condition};

const REFUSED: Act = Act::Fail(FailureKind::Broken, None);

/// Events in their order: how many, and whether the target refuses them.
type Runs = Vec<(u64, bool)>;

fn is_bad(runs: &Runs, number: u64) -> bool {
    let mut end = 0;
    let mut of = runs.iter().filter(|(count, _)| {
        end += count;
        number < end
    });
    of.next().is_some_and(|(_, bad)| *bad)
}

fn is_broken(queue: &Memory) -> bool {
    queue.held(A).is_some_and(|hold| hold.kind == HoldKind::Broken)
}

/// A target that works, or not, as the test says, and refuses the events that are bad.
struct Firewall {
    up: AtomicBool,
    token_is_wrong: AtomicBool,
    runs: Runs,
    taken: Mutex<std::collections::BTreeSet<u64>>,
}

impl Firewall {
    fn new(runs: Runs) -> Arc<Self> {
        let taken = Mutex::default();
        let (up, token_is_wrong) = (AtomicBool::new(true), AtomicBool::new(false));
        Arc::new(Self { up, token_is_wrong, runs, taken })
    }

    fn act(&self, delivery: &Delivery) -> Act {
        let number = delivery.event.id.number();
        if !self.up.load(Ordering::Relaxed) {
            return RETRY;
        }
        if self.token_is_wrong.load(Ordering::Relaxed) || is_bad(&self.runs, number) {
            return REFUSED;
        }
        self.taken.lock().unwrap().insert(number);
        Act::Take
    }

    fn backend(self: &Arc<Self>) -> Arc<dyn Backend> {
        let firewall = Arc::clone(self);
        Scripted::each(move |delivery| firewall.act(delivery))
    }

    fn taken(&self) -> usize {
        self.taken.lock().unwrap().len()
    }
}

/// Waits until that is so, for at most this long; returns how long it took.
async fn within(most: Duration, is_so: impl Fn() -> bool) -> Option<Duration> {
    let began = Instant::now();
    while !is_so() {
        if began.elapsed() > most {
            return None;
        }
        sleep(secs(1)).await;
    }
    Some(began.elapsed())
}

fn virtual_time() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_run_of_refused_events_holds_no_other_even_after_a_resume() {
    for bad in [SUSPECTED_EVENTS as u64, 8, 30, 300] {
        let firewall = Firewall::new(vec![(bad, true), (50, false)]);
        let (queue, feed) = (Memory::with_holds(), Feed::default());
        queue.put(A, 0..bad + 20);
        let deliverer = start_with(&queue, vec![(target(A), firewall.backend())], &feed);
        let few = secs(1_800);
        assert!(within(few, || firewall.taken() == 20).await.is_some(), "{bad}");
        deliverer.resume(A);
        // Refused events are retried many times, but each counts as evidence only once.
        for number in bad + 20..bad + 50 {
            sleep(secs(60)).await;
            queue.put(A, number..number + 1);
        }
        assert!(within(secs(60), || firewall.taken() == 50).await.is_some(), "{bad}");
        assert!(!is_broken(&queue), "{bad}");
        let pending = queue.depth(A).pending;
        assert_eq!(pending, bad);
        sleep(secs(2 * 24 * 3600)).await;
        assert_eq!(queue.depth(A).pending, 0);
        assert!(queue.reasons().iter().all(|reason| reason.starts_with("given up after 24h")));
    }
}

#[tokio::test(start_paused = true)]
async fn refused_events_that_come_alone_break_no_target_and_the_next_good_one_is_delivered() {
    let bad = SUSPECTED_EVENTS as u64;
    let firewall = Firewall::new(vec![(bad, true), (1, false)]);
    let (queue, feed) = (Memory::with_holds(), Feed::default());
    queue.put(A, 0..bad);
    let _deliverer = start_with(&queue, vec![(target(A), firewall.backend())], &feed);
    sleep(secs(300)).await;
    assert!(!is_broken(&queue));
    queue.put(A, bad..bad + 1);
    assert!(within(PROBE_MAX + secs(5), || firewall.taken() == 1).await.is_some());
    sleep(BROKEN_AFTER * 2).await;
    assert!(!is_broken(&queue));
}

#[tokio::test(start_paused = true)]
async fn a_target_with_a_wrong_token_is_broken_and_delivers_everything_once_it_is_right() {
    for (events, by_hand) in [(100, false), (100, true), (SUSPECTED_EVENTS as u64, false)] {
        let firewall = Firewall::new(vec![(1_000, false)]);
        firewall.token_is_wrong.store(true, Ordering::Relaxed);
        let (queue, feed) = (Memory::with_holds(), Feed::default());
        queue.put(A, 0..events);
        let _deliverer = start_with(&queue, vec![(target(A), firewall.backend())], &feed);
        let most = if events == 100 { secs(60) } else { secs(3_600) };
        assert!(within(most, || is_broken(&queue)).await.is_some(), "{events}");
        let mut kinds = Vec::new();
        while let Ok(alarms) = tokio::time::timeout(secs(1), feed.alarms().next()).await {
            kinds.extend(alarms.into_iter().map(|alarm| alarm.kind));
        }
        assert!(kinds.contains(&AlarmKind::TargetBroken), "{kinds:?}");
        let Condition::Failing(why) = feed.history().target("target-1").condition else { panic!() };
        assert!(why.starts_with("broken: "), "{why}");
        queue.put(A, events..events + 10);
        sleep(secs(3_600)).await;
        assert!(is_broken(&queue));
        firewall.token_is_wrong.store(false, Ordering::Relaxed);
        if by_hand {
            queue.hold(A, None).await.unwrap();
        }
        let most = if by_hand { secs(5) } else { secs(1_800) };
        let done = || queue.depth(A).pending == 0 || by_hand && queue.depth(A).retrying > 0;
        assert!(within(most, done).await.is_some(), "{events} {:?}", queue.depth(A));
        queue.emptied().await;
        assert_eq!((firewall.taken() as u64, is_broken(&queue)), (events + 10, false));
        assert_eq!(queue.reasons().len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_is_written_while_a_broken_target_is_let_go_stays() {
    let firewall = Firewall::new(vec![(200, false)]);
    firewall.token_is_wrong.store(true, Ordering::Relaxed);
    let queue = Memory::with_holds();
    queue.put(A, 0..100);
    let _deliverer = start(&queue, vec![(target(A), firewall.backend())]);
    assert!(within(secs(60), || is_broken(&queue)).await.is_some());
    firewall.token_is_wrong.store(false, Ordering::Relaxed);
    queue.pause_before_let_go();
    assert!(within(secs(1_800), || !is_broken(&queue)).await.is_some());
    let taken = firewall.taken();
    sleep(secs(3_600)).await;
    assert!(queue.held(A).is_some_and(|hold| hold.kind == HoldKind::Paused));
    assert_eq!((firewall.taken(), taken), (1, 1), "only the probe");
    queue.hold(A, None).await.unwrap();
    queue.emptied().await;
    assert_eq!(firewall.taken(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_is_written_while_a_person_resumes_the_target_ends_with_that() {
    let firewall = Firewall::new(vec![(200, false)]);
    firewall.token_is_wrong.store(true, Ordering::Relaxed);
    let queue = Memory::with_holds();
    queue.put(A, 0..100);
    let deliverer = start(&queue, vec![(target(A), firewall.backend())]);
    assert!(within(secs(60), || is_broken(&queue)).await.is_some());
    firewall.token_is_wrong.store(false, Ordering::Relaxed);
    // The person's end of the hold came before the hold.
    deliverer.resume(A);
    assert!(within(secs(60), || firewall.taken() > 50).await.is_some());
    assert_eq!(queue.held(A), None);
}

#[tokio::test(start_paused = true)]
async fn an_old_hold_is_ended_by_a_person_only() {
    let firewall = Firewall::new(vec![(100, false)]);
    firewall.token_is_wrong.store(true, Ordering::Relaxed);
    let queue = Memory::with_holds();
    queue.put(A, 0..100);
    let _deliverer = start(&queue, vec![(target(A), firewall.backend())]);
    sleep(secs(25 * 3_600)).await;
    firewall.token_is_wrong.store(false, Ordering::Relaxed);
    sleep(secs(48 * 3_600)).await;
    assert_eq!((is_broken(&queue), firewall.taken(), queue.reasons().len()), (true, 0, 0));
    queue.hold(A, None).await.unwrap();
    queue.emptied().await;
    assert_eq!(firewall.taken() + queue.reasons().len(), 100);
    assert!(firewall.taken() >= 100 - 8, "only what was tried before is too old");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// At least one event in four is good.
    #[test]
    fn good_events_between_refused_ones_and_outages_are_delivered_within_hours(
        mixed in proptest::collection::vec((1u64..40, any::<bool>()), 1..8),
        outages in proptest::collection::vec((1u64..900, 1u64..900), 0..4),
        seed: u64,
    ) {
        let bad: u64 = mixed.iter().filter(|(_, bad)| *bad).map(|(count, _)| count).sum();
        let mut runs = mixed;
        runs.push((bad / 3 + 1, false));
        let all: u64 = runs.iter().map(|(count, _)| count).sum();
        virtual_time().block_on(async {
            fastrand::seed(seed);
            let firewall = Firewall::new(runs.clone());
            let queue = Memory::with_holds();
            let half = all / 2;
            queue.put(A, 0..half);
            let _deliverer = start(&queue, vec![(target(A), firewall.backend())]);
            for (works_s, down_s) in outages {
                sleep(secs(works_s)).await;
                firewall.up.store(false, Ordering::Relaxed);
                sleep(secs(down_s)).await;
                firewall.up.store(true, Ordering::Relaxed);
            }
            queue.put(A, half..all);
            let good = usize::try_from(all - bad).unwrap();
            let took = within(secs(6 * 3_600), || firewall.taken() == good).await;
            prop_assert!(took.is_some(), "{} of {good}: {runs:?}", firewall.taken());
            Ok(())
        })?;
    }
}
