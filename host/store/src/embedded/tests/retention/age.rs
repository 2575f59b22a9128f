//! Removal by age: everything removed is reported, and only while the clock can be trusted.

use crate::embedded::tests::retention::*;
use crate::embedded::tests::support::{flip, offset_of};

const AGE_MS: u64 = 30 * DAY_MS;

#[tokio::test]
async fn events_of_a_paused_target_become_one_dead_letter_that_stays_listed_for_the_retention_age()
{
    let small = Small::new(None, Some(AGE_MS));
    let store = small.store();
    let [paused, a] = register(&*store, &["paused", "a"]).await[..] else { panic!() };
    small.pause(&store, paused).await;
    let ids = small.append(&store, &["1".into(), "2".into(), "3".into()], &[paused]).await;
    small.traffic(&store, a, 11).await;
    assert_eq!(first_base(&store), 0);
    small.time.pass(AGE_MS + 60_000);
    // The clock is trusted only after an hour, as after any long sleep of the machine.
    until(&store, |store| first_base(store) > 0).await;
    let letters = store.dead_letters(paused, None, 10).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].event, letters[0].count), (ids[0], 3));
    let reason = &letters[0].reason;
    assert!(reason.contains("older than retention.age"), "{reason}");
    assert!(reason.contains("no longer kept"), "{reason}");
    assert_eq!((store.depth(paused).pending, store.depth(paused).dead), (0, 3));
    let refused = store.replay(paused, vec![ids[0]]).await.unwrap_err().to_string();
    assert!(refused.contains("no longer kept"), "{refused}");
    small.traffic(&store, a, 11).await;
    small.time.pass(AGE_MS / 2);
    small.same_after_rebuild(store).await;
    let store = small.store();
    assert_eq!(store.depth(paused).dead, 3, "still listed");
    small.traffic(&store, a, 11).await;
    small.time.pass(AGE_MS / 2 + 120_000);
    until(&store, |store| store.depth(paused).dead == 0).await;
    store.flush().await.unwrap();
    assert!(store.dead_letters(paused, None, 10).await.unwrap().is_empty());
    small.same_after_rebuild(store).await;
}

#[tokio::test]
async fn what_cannot_be_read_is_given_up_with_its_segment() {
    let small = Small::new(None, Some(AGE_MS));
    let store = small.store();
    let [paused, a] = register(&*store, &["paused", "a"]).await[..] else { panic!() };
    small.pause(&store, paused).await;
    let mut ids = Vec::new();
    for text in ["1", "2", "3"] {
        ids.extend(small.append(&store, &[text.into()], &[paused]).await);
    }
    small.traffic(&store, a, 11).await;
    for id in [ids[0], ids[2]] {
        flip(&small.folder.segments()[0], offset_of(id) + 60);
    }
    small.time.pass(AGE_MS + 60_000);
    until(&store, |store| first_base(store) > 0).await;
    store.flush().await.unwrap();
    let letters = store.dead_letters(paused, None, 10).await.unwrap();
    let reasons: Vec<&str> = letters.iter().map(|letter| &*letter.reason).collect();
    assert!(reasons[0].starts_with("the log is damaged at "), "{reasons:?}");
    assert!(reasons[1].starts_with("older than retention.age"), "{reasons:?}");
    assert!(reasons[2].starts_with("the log is damaged at "), "{reasons:?}");
    assert_eq!((store.depth(paused).pending, store.depth(paused).dead), (0, 3));
}

#[tokio::test]
async fn old_retries_and_dead_letters_are_removed_with_their_segment_and_young_ones_stay_listed() {
    let small = Small::new(None, Some(AGE_MS));
    let store = small.store();
    let a = register(&*store, &["a"]).await[0];
    let texts: Vec<String> = (0..6).map(|i| i.to_string()).collect();
    let ids = small.append(&store, &texts, &[a]).await;
    let some = claim(&*store, a, 6).await;
    settle(&*store, a, &some[1..2], dead("old")).await;
    settle(&*store, a, &some[3..5], retry(small.time.wall().plus(HOUR * 10_000))).await;
    settle(&*store, a, &some[..1], delivered()).await;
    settle(&*store, a, &some[2..3], delivered()).await;
    settle(&*store, a, &some[5..], delivered()).await;
    small.traffic(&store, a, 11).await;
    small.time.pass(AGE_MS + 1);
    until(&store, |store| first_base(store) > 0).await;
    let letters = store.dead_letters(a, None, 10).await.unwrap();
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!((letters[0].event, letters[0].count), (ids[3], 2));
    assert!(letters[0].reason.contains("older than retention.age; last: later"), "{letters:?}");
    let depth = store.depth(a);
    assert_eq!((depth.pending, depth.retrying, depth.dead), (0, 0, 2));
    small.same_after_rebuild(store).await;
}

#[tokio::test]
async fn a_segment_that_never_fills_ends_at_a_tenth_of_the_age() {
    let small = Small::new(None, Some(AGE_MS));
    let store = small.store();
    let a = register(&*store, &["a"]).await[0];
    let count = |store: &Embedded| read_lock(&store.shared.reader.segments).list.len();
    let day = async |store: &Embedded, i: u64| {
        small.append(store, &[i.to_string()], &[a]).await;
        let some = within(store.claim(a, 1, HOUR)).await.unwrap();
        settle(store, a, &some, delivered()).await;
        store.flush().await.unwrap();
        small.stepped(store);
        small.time.pass(DAY_MS);
        small.stepped(store);
    };
    for i in 0..3 {
        day(&store, i).await;
    }
    assert_eq!(count(&store), 1, "a tenth of 30 days");
    for i in 3..36 {
        day(&store, i).await;
    }
    until(&store, |store| first_base(store) > 0).await;
    assert!((9..=12).contains(&count(&store)), "{}", count(&store));
    // One that is idle ends too, once, and no empty one.
    for _ in 0..20 {
        small.time.pass(DAY_MS);
        small.stepped(&store);
    }
    let idle = count(&store);
    small.time.pass(AGE_MS);
    until(&store, |store| count(store) == 1).await;
    assert!(idle <= 12, "{idle}");
    small.same_after_rebuild(store).await;
}

#[tokio::test]
async fn a_start_with_a_clock_a_day_ahead_makes_no_later_event_stay_longer() {
    let small = Small::new(None, Some(AGE_MS));
    let store = small.store();
    let a = register(&*store, &["a"]).await[0];
    store.close().await.unwrap();
    drop(store);
    small.time.jump(DAY_MS.cast_signed());
    // The time that the daemon sees stays ahead from here on.
    let fails = async |store: &Embedded| {
        small.append(store, &["fails".into()], &[a]).await;
        let some = claim(store, a, 1).await;
        settle(store, a, &some, retry(store.now())).await;
        store.flush().await.unwrap();
    };
    let store = small.store();
    fails(&store).await;
    store.close().await.unwrap();
    drop(store);
    small.time.jump(-DAY_MS.cast_signed());
    let store = small.store();
    assert!(store.now().since(small.time.wall()) > HOUR * 23);
    small.traffic(&store, a, 11).await;
    small.time.pass(2 * DAY_MS);
    // A segment of which everything was received after the clock was right.
    let from = small.time.wall();
    fails(&store).await;
    small.traffic(&store, a, 22).await;
    let made = first_after(&store, from);
    small.time.pass(AGE_MS + 2 * 3_600_000);
    until(&store, |store| first_base(store) > made).await;
}

/// Where the first segment begins that was made after that time.
fn first_after(store: &Embedded, from: dispatcher_model::Timestamp) -> u64 {
    let segments = read_lock(&store.shared.reader.segments);
    let after = segments.list.iter().find(|s| s.header.created_ms >= from.as_millis());
    after.unwrap().header.base
}

#[tokio::test]
async fn a_clock_that_is_set_forward_for_good_makes_nothing_older() {
    let small = Small::new(None, Some(AGE_MS));
    let store = small.store();
    let a = register(&*store, &["a"]).await[0];
    small.traffic(&store, a, 11).await;
    small.time.jump(i64::try_from(400 * DAY_MS).unwrap());
    small.stepped(&store);
    small.traffic(&store, a, 11).await;
    for _ in 0..29 {
        small.time.pass(DAY_MS);
        small.stepped(&store);
        assert_eq!(first_base(&store), 0);
    }
    // Neither what was received before nor what was received after stays longer.
    small.time.pass(2 * DAY_MS);
    until(&store, |store| read_lock(&store.shared.reader.segments).list.len() == 1).await;
}

/// A start finds the clock where the last record says that it was.
#[tokio::test]
async fn a_clock_that_was_set_forward_makes_nothing_older_after_a_restart() {
    let small = Small::new(None, Some(AGE_MS));
    let mut store = small.store();
    let a = register(&*store, &["a"]).await[0];
    small.traffic(&store, a, 11).await;
    small.time.jump(i64::try_from(400 * DAY_MS).unwrap());
    small.stepped(&store);
    for day in 0..29 {
        small.append(&store, &[day.to_string()], &[a]).await;
        store.close().await.unwrap();
        drop(store);
        small.time.pass(3_600_000);
        store = small.store();
        small.time.pass(DAY_MS - 3_600_000);
        small.stepped(&store);
        assert_eq!(first_base(&store), 0, "day {day}");
    }
    // It is removed when it is as old as it may be, and so is what came later.
    small.time.pass(2 * DAY_MS);
    until(&store, |store| first_base(store) > 0).await;
    small.time.pass(AGE_MS);
    until(&store, |store| read_lock(&store.shared.reader.segments).list.len() == 1).await;
}

#[tokio::test]
async fn a_clock_that_was_set_is_known_after_a_restart_of_a_store_without_new_requests() {
    let small = Small::new(None, Some(AGE_MS));
    let store = small.store();
    let a = register(&*store, &["a"]).await[0];
    small.append(&store, &["1".into(), "2".into()], &[a]).await;
    let two = claim(&*store, a, 2).await;
    let count = |store: &Embedded| read_lock(&store.shared.reader.segments).list.len();
    small.time.pass(AGE_MS / 10 + 60_000);
    until(&store, |store| count(store) == 2).await;
    small.time.pass(60_000);
    small.time.jump(i64::try_from(400 * DAY_MS).unwrap());
    settle(&*store, a, &two[..1], delivered()).await;
    small.stepped(&store);
    store.close().await.unwrap();
    drop(store);
    small.time.pass(60_000);
    let store = small.store();
    small.time.pass(2 * 3_600_000);
    small.stepped(&store);
    assert_eq!((store.depth(a).pending, store.depth(a).dead), (1, 0));
}

#[tokio::test]
async fn a_window_of_a_digest_ends_no_earlier_after_a_restart_with_a_clock_that_was_set_forward() {
    let small = Small::new(None, Some(AGE_MS));
    let store = small.store();
    let a = register(&*store, &["a"]).await[0];
    small.append(&store, &["1".into()], &[a]).await;
    let some = claim(&*store, a, 1).await;
    let outcome = crate::Outcome::Delivered { receipt: dispatcher_model::Receipt::default() };
    let settled = vec![crate::Settlement { event: some[0].event.id, outcome }];
    let window = crate::Window { group: 7, until: store.now().plus(HOUR) };
    store.settle_digest(a, settled, window).await.unwrap();
    small.time.jump(3 * 3_600_000);
    small.append(&store, &["2".into()], &[a]).await;
    small.stepped(&store);
    store.close().await.unwrap();
    drop(store);
    small.time.pass(600_000);
    let store = small.store();
    let windows = store.windows(a).await.unwrap();
    let [crate::Window { group: 7, until }] = windows[..] else { panic!("{windows:?}") };
    let left = until.since(store.now());
    assert!(left > HOUR / 2 && left <= HOUR, "{left:?}");
}

/// How long the only window of the target stays open.
async fn left(store: &Embedded, target: TargetNumber) -> Duration {
    let windows = store.windows(target).await.unwrap();
    let [crate::Window { group: 7, until }] = windows[..] else { panic!("{windows:?}") };
    until.since(store.now())
}

/// Opened before the jump or after it; shorter than the jump or longer; and a second start changes nothing.
#[tokio::test]
async fn a_window_follows_the_time_that_passed_over_starts_with_a_clock_that_was_set_forward() {
    for (jump_ms, before) in [(3, true), (3, false), (400 * 24, true), (400 * 24, false)]
        .map(|(hours, before)| (hours * 3_600_000, before))
    {
        for length in [HOUR, 5 * HOUR] {
            let what = format!("{jump_ms} ms, opened before: {before}, {length:?}");
            let small = Small::new(None, Some(AGE_MS));
            let mut store = small.store();
            let a = register(&*store, &["a"]).await[0];
            small.append(&store, &["1".into()], &[a]).await;
            let some = claim(&*store, a, 1).await;
            if !before {
                small.time.jump(jump_ms);
            }
            let outcome = delivered();
            let settled = vec![crate::Settlement { event: some[0].event.id, outcome }];
            let window = crate::Window { group: 7, until: store.now().plus(length) };
            store.settle_digest(a, settled, window).await.unwrap();
            small.time.jump(if before { jump_ms } else { 0 });
            small.append(&store, &["2".into()], &[a]).await;
            small.stepped(&store);
            for start in 1..3 {
                store.close().await.unwrap();
                drop(store);
                small.time.pass(600_000);
                store = small.store();
                let passed = Duration::from_millis(start * 600_000);
                let apart = left(&store, a).await.abs_diff(length - passed);
                assert!(apart < Duration::from_secs(61), "{what}: {apart:?} at start {start}");
            }
        }
    }
}

#[tokio::test]
async fn a_window_of_a_later_process_is_not_moved_by_what_an_earlier_one_saw() {
    let small = Small::new(None, Some(AGE_MS));
    let store = small.store();
    let a = register(&*store, &["a"]).await[0];
    small.time.jump(3 * 3_600_000);
    small.append(&store, &["1".into()], &[a]).await;
    small.stepped(&store);
    store.close().await.unwrap();
    drop(store);
    let store = small.store();
    let some = claim(&*store, a, 1).await;
    let settled = vec![crate::Settlement { event: some[0].event.id, outcome: delivered() }];
    let window = crate::Window { group: 7, until: store.now().plus(HOUR) };
    store.settle_digest(a, settled, window).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    small.time.pass(600_000);
    let store = small.store();
    assert_eq!(left(&store, a).await, HOUR - Duration::from_secs(600));
}

#[tokio::test]
async fn a_clock_that_jumps_removes_nothing() {
    let small = Small::new(None, Some(AGE_MS));
    let store = small.store();
    let a = register(&*store, &["a"]).await[0];
    small.traffic(&store, a, 11).await;
    small.time.jump(i64::try_from(2 * AGE_MS).unwrap());
    for _ in 0..3 {
        let step = small.stepped(&store);
        assert!(matches!(step, crate::embedded::retention::retire::Stepped::Rest(_)), "{step:?}");
    }
    assert_eq!(store.expire(a, small.time.wall(), "old".into()).await.unwrap(), 0);
    assert_eq!(first_base(&store), 0);
    small.time.jump(-i64::try_from(2 * AGE_MS).unwrap());
    small.stepped(&store);
    assert_eq!(first_base(&store), 0);
    small.time.pass(AGE_MS + 1);
    until(&store, |store| first_base(store) > 0).await;
}

impl Small {
    /// One look by hand, besides those of the thread.
    pub(super) fn stepped(&self, store: &Embedded) -> crate::embedded::retention::retire::Stepped {
        let mut retention =
            crate::embedded::retention::retire::Retention::new(store.shared.clone());
        retention.step(&mut || std::thread::sleep(Duration::from_millis(1)))
    }
}
