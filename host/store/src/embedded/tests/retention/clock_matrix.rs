//! The clock is set, at a restart and while the store works, by every distance that happens: nothing of a target that
//! fails, of one with a digest and of a plain one waits longer than it may, or is due early.

use crate::embedded::tests::retention::*;
use crate::{Settlement, Window};

const HOUR_MS: i64 = 3_600_000;
const DAYS: i64 = 24 * HOUR_MS;
const HALF_MS: u64 = HOUR_MS.cast_unsigned() / 2;
/// How long a store is closed at a restart.
const STOP_MS: u64 = 60_000;

#[derive(Default)]
struct Counts {
    combinations: u32,
    deliveries: u32,
    late: Vec<String>,
    early: Vec<String>,
}

/// Whether something can be claimed now: simulated time does not pass meanwhile.
async fn claims(store: &Embedded, target: TargetNumber) -> bool {
    let claim = store.claim(target, 9, HOUR);
    tokio::time::timeout(Duration::from_millis(50), claim).await.is_ok()
}

/// Whether the period of the digest, which was an hour, has ended.
async fn has_ended(store: &Embedded, target: TargetNumber) -> bool {
    let windows = store.windows(target).await.unwrap();
    windows.iter().all(|window| window.until <= store.now())
}

impl Counts {
    async fn set(&mut self, by_ms: i64, at_restart: bool) {
        let small = Small::new(None, Some(30 * DAY_MS));
        let mut store = small.store();
        let all = register(&*store, &["plain", "failing", "digest"]).await;
        let [plain, failing, digest] = all[..] else { panic!() };
        small.append(&store, &["before".into()], &all).await;
        let failed = claim(&*store, failing, 1).await;
        settle(&*store, failing, &failed, retry(store.now().plus(HOUR))).await;
        let sent = claim(&*store, digest, 1).await;
        let sent = vec![Settlement { event: sent[0].event.id, outcome: delivered() }];
        let window = Window { group: 7, until: store.now().plus(HOUR) };
        store.settle_digest(digest, sent, window).await.unwrap();
        store.flush().await.unwrap();
        if at_restart {
            store = small.restarted(store, by_ms).await;
        } else {
            small.time.jump(by_ms);
        }
        store.wait_at_most(failing, HOUR);
        store.wait_at_most(digest, HOUR);
        let what = format!("set by {by_ms} ms, at a restart: {at_restart}");
        let mut check = |is_right: bool, is_late: bool, target: &str| {
            self.deliveries += 1;
            if !is_right {
                let list = if is_late { &mut self.late } else { &mut self.early };
                list.push(format!("{target}, {what}"));
            }
        };
        check(claims(&store, plain).await, true, "plain");
        // A clock that was set forward while no daemon ran is taken for time that passed, except for digests.
        if !at_restart || by_ms < 0 {
            check(!claims(&store, failing).await, false, "failing");
        }
        small.time.pass(HALF_MS - STOP_MS);
        if !at_restart || by_ms < 0 {
            check(!claims(&store, failing).await, false, "failing");
        }
        check(!has_ended(&store, digest).await, false, "digest");
        small.append(&store, &["after".into()], &[plain]).await;
        check(claims(&store, plain).await, true, "plain");
        small.time.pass(HALF_MS + 2 * STOP_MS);
        check(claims(&store, failing).await, true, "failing");
        check(has_ended(&store, digest).await, true, "digest");
        let dead = all.iter().map(|target| store.depth(*target).dead).sum::<u64>();
        check(dead == 0, false, "a dead letter");
        self.combinations += 3;
    }
}

#[tokio::test]
async fn nothing_is_late_or_early_wherever_and_whenever_the_clock_is_set() {
    let now_ms = Small::new(None, None).time.wall().as_millis().cast_signed();
    let (in_1970, in_2200) = (DAYS - now_ms, 7_258_204_800_000 - now_ms);
    let (day, year) = (DAYS, 365 * DAYS);
    let mut counts = Counts::default();
    for by_ms in [HOUR_MS, -HOUR_MS, day, -day, year, -year, in_1970, in_2200] {
        for at_restart in [true, false] {
            counts.set(by_ms, at_restart).await;
        }
    }
    let Counts { combinations, deliveries, late, early } = counts;
    println!(
        "clocks of the store: {combinations} combinations, {deliveries} deliveries and periods looked at, {} late, {} early",
        late.len(),
        early.len()
    );
    assert_eq!((combinations, late, early), (48, Vec::new(), Vec::new()));
}
