//! One event that is refused, a target that refuses everything, and what is shown of both.

use super::*;
use crate::retry::UNPROVEN_MAX;
use crate::telemetry::{AlarmKind, Condition};

const BROKEN: Act = Act::Fail(FailureKind::Broken, None);

/// What is shown of target A.
fn condition(feed: &Feed) -> Condition {
    feed.history().target("target-1").condition
}

/// The kinds of all alarms so far.
async fn alarms(feed: &Feed) -> Vec<AlarmKind> {
    let next = tokio::time::timeout(secs(1), feed.alarms().next()).await;
    next.unwrap_or_default().into_iter().map(|alarm| alarm.kind).collect()
}

#[tokio::test(start_paused = true)]
async fn one_event_that_is_refused_ends_as_a_dead_letter_and_holds_no_other() {
    for batch in [false, true] {
        let poison = |delivery: &Delivery| match delivery.event.id.number() {
            0 => BROKEN,
            _ => Act::Take,
        };
        let (queue, feed) = (Memory::new(), Feed::default());
        let backend = if batch { Scripted::batch(poison) } else { Scripted::each(poison) };
        let policy = Policy { give_up_after: secs(3600), ..Policy::default() };
        queue.put(A, 0..1);
        let settings = Settings { policy, ..target(A) };
        let _deliverer = start_with(&queue, vec![(settings, backend.clone())], &feed);
        for number in 1..400 {
            sleep(secs(10)).await;
            queue.put(A, number..number + 1);
        }
        queue.emptied().await;
        assert_eq!(queue.settled(A)["delivered"], 399, "batch: {batch}");
        assert_eq!(queue.reasons().len(), 1);
        assert!(queue.reasons()[0].starts_with("given up after 1h"), "{:?}", queue.reasons());
        assert_eq!(condition(&feed), Condition::Works);
        assert!(!alarms(&feed).await.contains(&AlarmKind::TargetBroken));
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_without_an_event_shows_at_once_that_a_target_is_broken() {
    /// Refuses every event, and says so when it is asked.
    struct Locked(AtomicUsize);
    impl Backend for Locked {
        fn deliver<'a>(&'a self, _: &'a [Delivery], _: Instant) -> BoxFuture<'a, Vec<Verdict>> {
            Box::pin(async { vec![Err(Failure::new(FailureKind::Broken, "no such account"))] })
        }
        fn probe(&self, _: Instant) -> BoxFuture<'_, Option<Verdict>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Box::pin(async { Some(Err(Failure::new(FailureKind::Broken, "locked"))) })
        }
        fn one_by_one(&self) -> bool {
            true
        }
    }
    let (queue, feed, backend) =
        (Memory::new(), Feed::default(), Arc::new(Locked(AtomicUsize::new(0))));
    queue.put(A, 0..1);
    let _deliverer = start_with(&queue, vec![(target(A), backend.clone())], &feed);
    assert_eq!(alarms(&feed).await, [AlarmKind::TargetBroken]);
    assert_eq!(backend.0.load(Ordering::Relaxed), 1);
    assert_eq!(condition(&feed), Condition::Failing("broken: locked".into()));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_fails_everything_is_shown_and_reported_whatever_it_fails_with() {
    for act in [RETRY, BROKEN, Act::Panic, Act::Miscount] {
        let fixed = Arc::new(AtomicBool::new(false));
        let (seen, failing) = (Arc::clone(&fixed), act.clone());
        let script = move |_: &Delivery| match seen.load(Ordering::Relaxed) {
            true => Act::Take,
            false => failing.clone(),
        };
        let (queue, feed) = (Memory::new(), Feed::default());
        let deliverer = start_with(&queue, vec![(target(A), Scripted::each(script) as _)], &feed);
        assert_eq!(condition(&feed), Condition::Unknown);
        // Fewer events than open the circuit breaker: only their retries say more.
        queue.put(A, 0..2);
        sleep(Duration::from_millis(10)).await;
        assert_eq!(condition(&feed), Condition::NotProven, "{act:?}");
        assert_ne!(feed.history().target("target-1").last_error, "");
        sleep(secs(8)).await;
        let Condition::Failing(why) = condition(&feed) else { panic!("{act:?}") };
        assert!(
            why.starts_with("failing: nothing was delivered since its oldest failure"),
            "{why}"
        );
        assert_eq!(alarms(&feed).await, [AlarmKind::TargetDown], "{act:?}");
        fixed.store(true, Ordering::Relaxed);
        queue.emptied().await;
        assert_eq!(condition(&feed), Condition::Works, "{act:?}");
        assert_eq!(alarms(&feed).await, [AlarmKind::TargetRecovered], "{act:?}");
        deliverer.stop(GRACE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_tried_rarely_counts_as_failing_after_some_minutes() {
    let policy = Policy { backoff_min: secs(3600), ..Policy::default() };
    let (queue, feed) = (Memory::new(), Feed::default());
    let backend = Scripted::each(|_| RETRY);
    queue.put(A, 0..1);
    let settings = Settings { policy, ..target(A) };
    let _deliverer = start_with(&queue, vec![(settings, backend.clone())], &feed);
    sleep(UNPROVEN_MAX - secs(1)).await;
    assert_eq!((backend.count(), condition(&feed)), (1, Condition::NotProven));
    sleep(secs(2)).await;
    assert!(matches!(condition(&feed), Condition::Failing(_)));
    assert_eq!((backend.count(), alarms(&feed).await), (1, vec![AlarmKind::TargetDown]));
}
