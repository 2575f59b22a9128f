//! Clocks that are set more than once: stops in a row, a clock that is put right after a start, a pause after a stop.

use crate::embedded::tests::retention::*;

const AGE_MS: u64 = 30 * DAY_MS;
const HOUR_MS: u64 = 3_600_000;

impl Small {
    /// The index has read what was received, and what is not in it any more is not remembered elsewhere.
    async fn indexed(&self, store: &Embedded, a: TargetNumber) {
        for i in 0..3 {
            self.time.pass(2_000);
            self.append(store, &[i.to_string()], &[a]).await;
            store.flush().await.unwrap();
        }
    }

    async fn one_window(&self, store: &Embedded, a: TargetNumber, length: Duration) {
        self.append(store, &["digest".into()], &[a]).await;
        let some = claim(store, a, 1).await;
        let settled = vec![crate::Settlement { event: some[0].event.id, outcome: delivered() }];
        let window = crate::Window { group: 7, until: store.now().plus(length) };
        store.settle_digest(a, settled, window).await.unwrap();
    }
}

/// How long the only window of the target stays open.
async fn left(store: &Embedded, target: TargetNumber) -> Duration {
    let windows = store.windows(target).await.unwrap();
    let [crate::Window { group: 7, until }] = windows[..] else { panic!("{windows:?}") };
    until.since(store.now())
}

/// The machine starts with a clock that is behind and then gets its time, while the daemon runs or before its next start.
#[tokio::test]
async fn a_clock_that_is_put_right_after_a_start_makes_no_repetition_new() {
    for behind in [3 * HOUR_MS, DAY_MS, 10 * DAY_MS, 20_000 * DAY_MS] {
        for again in [false, true] {
            let what = format!("{behind} ms behind, put right at a start: {again}");
            let small = Small::new(None, Some(AGE_MS));
            let mut store = small.store();
            store.keep_keys(Duration::from_secs(86_400));
            let a = register(&*store, &["a"]).await[0];
            let before = small.keyed(&store, "before", a).await;
            small.indexed(&store, a).await;
            store = small.restarted(store, -behind.cast_signed()).await;
            let meanwhile = small.keyed(&store, "meanwhile", a).await;
            small.indexed(&store, a).await;
            small.stepped(&store);
            if again {
                store = small.restarted(store, behind.cast_signed()).await;
            } else {
                small.time.jump(behind.cast_signed());
            }
            for _ in 0..3 {
                small.indexed(&store, a).await;
                small.stepped(&store);
                small.time.pass(HOUR_MS);
                assert_eq!(small.keyed(&store, "before", a).await, before, "{what}");
                assert_eq!(small.keyed(&store, "meanwhile", a).await, meanwhile, "{what}");
                store = small.restarted(store, 0).await;
            }
        }
    }
}

/// Stopped every night for longer than it runs: ten hours a day.
#[tokio::test]
async fn a_machine_that_is_stopped_every_night_forgets_a_key_when_it_ran_for_its_window() {
    const WEEK: Duration = Duration::from_secs(7 * 86_400);
    let small = Small::new(None, Some(AGE_MS));
    let settings = Settings { repeat_window: WEEK, ..small.settings() };
    let open = || Embedded::open_on(&settings, &small.machine()).unwrap();
    let mut store = open();
    let a = register(&*store, &["a"]).await[0];
    let mut ids = Vec::new();
    for day in 0..30 {
        ids.push(small.keyed_for(&store, WEEK, &day.to_string(), a).await);
        for _ in 0..10 {
            small.time.pass(HOUR_MS);
            small.append(&store, &["hourly".into()], &[a]).await;
            small.stepped(&store);
        }
        for (back, known) in [(15, true), (18, false)] {
            let Some(then) = usize::checked_sub(day, back) else { continue };
            let id = small.keyed_for(&store, WEEK, &then.to_string(), a).await;
            assert_eq!(id == ids[then], known, "day {then} on day {day}");
            ids[then] = id;
        }
        store.close().await.unwrap();
        drop(store);
        small.time.pass(14 * HOUR_MS);
        store = open();
    }
}

/// After a start, of a window of an hour.
async fn ten_minutes_later_the_rest_is_left(small: &Small, store: Arc<Embedded>, a: TargetNumber) {
    store.close().await.unwrap();
    drop(store);
    small.time.pass(600_000);
    let store = small.store();
    let apart = left(&store, a).await.abs_diff(HOUR - Duration::from_secs(600));
    assert!(apart < Duration::from_secs(61), "{apart:?}");
}

/// The time without a daemon is not added to windows that were opened after it.
#[tokio::test]
async fn a_window_that_was_opened_between_a_stop_and_a_pause_ends_in_time() {
    let small = Small::new(None, Some(AGE_MS));
    let store = small.store();
    let a = register(&*store, &["a"]).await[0];
    store.close().await.unwrap();
    drop(store);
    small.time.pass(10 * HOUR_MS);
    let store = small.store();
    small.one_window(&store, a, HOUR).await;
    // The machine was paused: its steady clock did not see it.
    small.time.jump((5 * HOUR_MS).cast_signed());
    small.append(&store, &["after".into()], &[a]).await;
    small.stepped(&store);
    ten_minutes_later_the_rest_is_left(&small, store, a).await;
}

/// The disk fails and the log goes on in a new segment of the next epoch, in the same process.
#[tokio::test]
async fn a_window_that_was_opened_after_a_failure_of_the_disk_ends_no_earlier() {
    let (folder, disk) = Folder::simulated();
    let small = Small { folder, ..Small::new(None, Some(AGE_MS)) };
    let store = small.store();
    let a = register(&*store, &["a"]).await[0];
    small.time.jump((3 * HOUR_MS).cast_signed());
    small.append(&store, &["1".into()], &[a]).await;
    small.stepped(&store);
    let some = claim(&*store, a, 1).await;
    settle(&*store, a, &some, delivered()).await;
    disk.plan(|faults| faults.bad_syncs = 1);
    assert!(store.append(request(vec![planned("refused", &[a])])).await.is_err());
    small.one_window(&store, a, HOUR).await;
    ten_minutes_later_the_rest_is_left(&small, store, a).await;
}

/// The machine starts in 1970 and then gets its time: what waits is neither too old at once nor due much later.
#[tokio::test]
async fn a_retry_waits_on_through_a_start_in_1970_and_the_right_time_after_it() {
    for behind_ms in [HOUR_MS, DAY_MS, 20_000 * DAY_MS].map(u64::cast_signed) {
        for again in [false, true] {
            let what = format!("{behind_ms} ms behind, put right at a start: {again}");
            let small = Small::new(None, None);
            let store = small.store();
            let a = register(&*store, &["a"]).await[0];
            small.append(&store, &["retried".into()], &[a]).await;
            let some = claim(&*store, a, 1).await;
            let due = store.now().plus(HOUR);
            settle(&*store, a, &some, retry(due)).await;
            let mut store = small.restarted(store, -behind_ms).await;
            assert!(due.since(store.now()) > HOUR - Duration::from_secs(120), "{what}");
            if again {
                store = small.restarted(store, behind_ms).await;
            } else {
                small.time.jump(behind_ms);
            }
            store.wait_at_most(a, HOUR);
            let left = due.since(store.now());
            assert!(left > HOUR - Duration::from_secs(180), "{what}");
            small.time.pass(HOUR_MS);
            assert_eq!(claim(&*store, a, 1).await.len(), 1, "{what}");
        }
    }
}
