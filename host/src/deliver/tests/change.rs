//! Targets that are replaced, removed and added while others run.

use super::*;

/// Takes so long for every event, and writes down when it begins and ends: `old+` and `old-`.
struct Traced {
    name: &'static str,
    takes: Duration,
    trace: Arc<Mutex<Vec<String>>>,
}

impl Backend for Traced {
    fn deliver<'a>(&'a self, given: &'a [Delivery], _: Instant) -> BoxFuture<'a, Vec<Verdict>> {
        Box::pin(async move {
            let tell = |what| self.trace.lock().unwrap().push(format!("{}{what}", self.name));
            tell('+');
            sleep(self.takes).await;
            tell('-');
            vec![Ok(Receipt::default()); given.len()]
        })
    }

    fn one_by_one(&self) -> bool {
        true
    }
}

#[derive(Default)]
struct Trace(Arc<Mutex<Vec<String>>>);

impl Trace {
    fn target(&self, name: &'static str, seconds: u64) -> (Settings, Arc<dyn Backend>) {
        let settings = Settings { concurrency: 1, ..target(A) };
        (settings, Arc::new(Traced { name, takes: secs(seconds), trace: self.0.clone() }))
    }

    fn text(&self) -> String {
        self.0.lock().unwrap().join(" ")
    }
}

#[tokio::test(start_paused = true)]
async fn a_replacement_begins_after_the_old_target_has_ended_and_others_are_not_affected() {
    let (queue, trace, other) = (Memory::new(), Trace::default(), Scripted::each(|_| Act::Take));
    queue.put(A, 0..3);
    let deliverer = start(&queue, vec![trace.target("old", 3), (target(B), other.clone())]);
    sleep(secs(1)).await;
    deliverer.change(&[], vec![trace.target("new", 1)], GRACE);
    queue.put(B, 10..20);
    sleep(secs(1)).await;
    assert_eq!(other.count(), 10);
    assert_eq!(trace.text(), "old+");
    queue.emptied().await;
    assert_eq!(trace.text(), "old+ old- new+ new- new+ new-");
    assert_eq!(queue.settled(A), [("delivered", 3)].into(), "nothing twice");
}

#[tokio::test(start_paused = true)]
async fn calls_that_do_not_end_in_time_are_cut_and_their_deliveries_go_to_the_new_target() {
    let (queue, trace) = (Memory::new(), Trace::default());
    queue.put(A, 0..1);
    let deliverer = start(&queue, vec![trace.target("old", 9)]);
    sleep(secs(1)).await;
    let changed = Instant::now();
    deliverer.change(&[], vec![trace.target("new", 0)], GRACE);
    queue.emptied().await;
    assert_eq!(changed.elapsed().as_secs(), GRACE.as_secs(), "virtual time");
    assert_eq!(trace.text(), "old+ new+ new-");
    assert_eq!(queue.settled(A), [("release", 1), ("delivered", 1)].into());
}

#[tokio::test(start_paused = true)]
async fn a_removed_target_keeps_its_backlog_until_it_is_added_again() {
    let (queue, trace) = (Memory::new(), Trace::default());
    queue.put(A, 0..3);
    let deliverer = start(&queue, vec![trace.target("old", 3)]);
    sleep(secs(1)).await;
    deliverer.change(&[A], Vec::new(), GRACE);
    sleep(secs(1_000)).await;
    assert_eq!(trace.text(), "old+ old-");
    assert_eq!(queue.depth(A).pending, 2);
    deliverer.change(&[], vec![trace.target("new", 1)], GRACE);
    queue.emptied().await;
    assert_eq!(trace.text(), "old+ old- new+ new- new+ new-");
}

#[tokio::test(start_paused = true)]
async fn of_several_changes_in_a_row_only_the_last_takes_effect() {
    let (queue, trace) = (Memory::new(), Trace::default());
    queue.put(A, 0..2);
    let deliverer = start(&queue, vec![trace.target("first", 3)]);
    sleep(secs(1)).await;
    deliverer.change(&[], vec![trace.target("second", 1)], GRACE);
    deliverer.change(&[A], Vec::new(), GRACE);
    deliverer.change(&[], vec![trace.target("third", 1)], GRACE);
    queue.emptied().await;
    assert_eq!(trace.text(), "first+ first- third+ third-");
    queue.put(A, 2..4);
    deliverer.stop(GRACE).await;
    deliverer.change(&[], vec![trace.target("late", 0)], GRACE);
    sleep(secs(60)).await;
    assert!(!trace.text().contains("late"), "nothing starts after a stop: {}", trace.text());
}
