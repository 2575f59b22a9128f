//! What a start makes of a clock that was set while no daemon ran: for each kind of what waits or is remembered.

use crate::Settlement;
use crate::embedded::tests::retention::*;

const HOUR_MS: i64 = 3_600_000;
const AGE_MS: u64 = 30 * DAY_MS;
const DAY: Duration = Duration::from_secs(86_400);

/// Set by so much: an hour that may have passed, and more than that.
fn jumps(time: &Time) -> [(&'static str, i64); 8] {
    let now_ms = i64::try_from(time.wall().as_millis()).unwrap();
    [
        ("+1h", HOUR_MS - 600_000),
        ("+2h", 2 * HOUR_MS),
        ("+1d", 24 * HOUR_MS),
        ("+1y", 365 * 24 * HOUR_MS),
        ("2200", 7_258_204_800_000 - now_ms),
        ("-1h", -HOUR_MS),
        ("-1d", -24 * HOUR_MS),
        ("1970", 86_400_000 - now_ms),
    ]
}

impl Small {
    /// An event with that key, which is known for a day.
    pub(super) async fn keyed(&self, store: &Embedded, key: &str, a: TargetNumber) -> EventId {
        self.keyed_for(store, DAY, key, a).await
    }

    pub(super) async fn keyed_for(
        &self,
        store: &Embedded,
        window: Duration,
        key: &str,
        a: TargetNumber,
    ) -> EventId {
        let mut request = request(vec![keyed(key, 1, &[a])]);
        (request.received_at, request.verified_at) = (self.time.wall(), self.time.wall());
        request.repeat_window = window;
        store.append(request).await.unwrap().ids()[0]
    }

    pub(super) async fn restarted(&self, store: Arc<Embedded>, jump_ms: i64) -> Arc<Embedded> {
        store.close().await.unwrap();
        drop(store);
        self.time.jump(jump_ms);
        self.time.pass(60_000);
        self.store()
    }
}

/// A digest window of an hour, a retry in an hour, a dead letter, a delivery that was never tried; and the event that has
/// the key `before`.
async fn with_all_kinds(small: &Small, store: &Embedded, a: TargetNumber) -> EventId {
    let before = small.keyed(store, "before", a).await;
    small.append(store, &["retried".into(), "dead".into()], &[a]).await;
    let some = claim(store, a, 3).await;
    let window = crate::Window { group: 7, until: store.now().plus(HOUR) };
    let settled = vec![Settlement { event: some[0].event.id, outcome: delivered() }];
    store.settle_digest(a, settled, window).await.unwrap();
    settle(store, a, &some[1..2], retry(store.now().plus(HOUR))).await;
    settle(store, a, &some[2..], dead("no")).await;
    small.append(store, &["untried".into()], &[a]).await;
    before
}

#[tokio::test]
async fn a_clock_that_was_set_before_a_start_forgets_nothing_early_and_delays_nothing() {
    for (name, jump_ms) in jumps(&Time::new()) {
        for starts in 1..=3 {
            let what = format!("{name}, start {starts}");
            forgets_nothing(name, jump_ms, starts, &what).await;
            delays_nothing(jump_ms, starts, &what).await;
        }
    }
}

/// The store after so many starts, and the event that has the key `before`.
async fn started(
    small: &Small,
    jump_ms: i64,
    starts: u64,
) -> (Arc<Embedded>, TargetNumber, EventId) {
    let mut store = small.store();
    let a = register(&*store, &["a"]).await[0];
    let before = with_all_kinds(small, &store, a).await;
    store.wait_at_most(a, HOUR);
    store.flush().await.unwrap();
    for start in 1..=starts {
        let by = if start == 1 { jump_ms } else { 0 };
        store = small.restarted(store, by).await;
        store.wait_at_most(a, HOUR);
        small.stepped(&store);
    }
    (store, a, before)
}

async fn forgets_nothing(name: &str, jump_ms: i64, starts: u64, what: &str) {
    let small = Small::new(None, Some(AGE_MS));
    let (store, a, before) = started(&small, jump_ms, starts).await;
    assert_eq!(small.keyed(&store, "before", a).await, before, "{what}");
    let windows = store.windows(a).await.unwrap();
    let left = windows.first().map_or(Duration::ZERO, |w| w.until.since(store.now()));
    // An hour without a daemon counts as passed.
    let moved = if name == "+1h" { HOUR - Duration::from_secs(600) } else { Duration::ZERO };
    let passed = Duration::from_secs(60 * starts) + moved;
    let apart = left.abs_diff(HOUR.saturating_sub(passed));
    // A daemon that recorded nothing proves no time.
    assert!(apart <= Duration::from_secs(60 * (starts + 1)), "{what}: {left:?}");
    let depth = store.depth(a);
    assert_eq!((depth.pending, depth.dead), (2, 1), "{what}");
    let old = small.time.wall().as_millis().saturating_sub(3_600_000);
    let old = dispatcher_model::Timestamp::from_millis(old);
    assert_eq!(store.expire(a, old, "old".into()).await.unwrap(), 0, "{what}");
    assert_eq!((first_base(&store), store.depth(a).dead), (0, 1), "{what}");
}

/// A retry is due within its longest wait. Without an age of the log: after that hour the clock is trusted, and what is too
/// old is given up.
async fn delays_nothing(jump_ms: i64, starts: u64, what: &str) {
    let small = Small::new(None, None);
    let (store, a, _) = started(&small, jump_ms, starts).await;
    small.time.pass(3_600_000);
    let mut due = 0;
    while due < 2 {
        due += within(store.claim(a, 9, HOUR)).await.unwrap().len();
    }
    assert_eq!(due, 2, "{what}");
}

/// What was received after the start is as old as the clock says.
#[tokio::test]
async fn after_a_start_a_key_is_forgotten_when_its_window_is_over() {
    for (name, jump_ms) in jumps(&Time::new()) {
        let small = Small::new(None, Some(AGE_MS));
        let store = small.store();
        let a = register(&*store, &["a"]).await[0];
        let before = small.keyed(&store, "before", a).await;
        let store = small.restarted(store, jump_ms).await;
        let since = small.keyed(&store, "since", a).await;
        small.time.pass(86_400_000 - 60_000);
        assert_eq!(small.keyed(&store, "since", a).await, since, "{name}");
        small.time.pass(60_000);
        assert_ne!(small.keyed(&store, "since", a).await, since, "{name}");
        small.time.pass(2 * 3_600_000);
        store.keep_keys(DAY);
        small.append(&store, &["wakes the index".into()], &[a]).await;
        store.caught_up().await.unwrap();
        if jump_ms > 0 {
            assert_ne!(small.keyed(&store, "before", a).await, before, "{name}: bounded");
        }
    }
}
