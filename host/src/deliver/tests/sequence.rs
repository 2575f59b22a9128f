//! Deliveries in sequence: the failure of one affects no other.

use std::collections::BTreeMap;

use super::*;

fn alone() -> Settings {
    Settings { concurrency: 1, ..target(A) }
}

/// The attempts at each event, in their order.
fn attempts<S>(backend: &Scripted<S>) -> BTreeMap<u64, Vec<u32>> {
    let mut attempts: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    for (_, given) in &*backend.calls.lock().unwrap() {
        for (event, attempt) in given {
            attempts.entry(event.number()).or_default().push(*attempt);
        }
    }
    attempts
}

#[tokio::test(start_paused = true)]
async fn a_failure_costs_the_rest_of_its_sequence_no_attempt() {
    let backend = Scripted::each(|delivery: &Delivery| {
        if delivery.attempt > 1 {
            return Act::Take;
        }
        match delivery.event.id.number() {
            210 => Act::Panic,
            220 => Act::Hang,
            230 => RETRY,
            240 => Act::Miscount,
            250 => Act::Fail(FailureKind::Reject, None),
            _ => Act::Take,
        }
    });
    let queue = Memory::new();
    queue.put(A, 0..300);
    let _deliverer = start(&queue, vec![(alone(), backend.clone())]);
    queue.emptied().await;
    let settled = queue.settled(A);
    assert_eq!((settled["delivered"], settled["dead"], settled["retry"]), (299, 1, 4));
    assert!(settled["release"] > 0, "some had to wait: {settled:?}");
    let tried = attempts(&backend);
    assert_eq!(tried.len(), 300);
    for (number, attempts) in tried {
        let expected: &[u32] = if [210, 220, 230, 240].contains(&number) { &[1, 2] } else { &[1] };
        assert_eq!(attempts, expected, "event {number}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_keeps_the_outcomes_before_the_delivery_that_hangs() {
    let hangs = |delivery: &Delivery| match delivery.event.id.number() {
        203 => Act::Hang,
        _ => Act::Take,
    };
    let (queue, backend) = (Memory::new(), Scripted::each(hangs));
    queue.put(A, 0..300);
    let deliverer = start(&queue, vec![(alone(), backend.clone())]);
    sleep(secs(1)).await;
    deliverer.stop(GRACE).await;
    assert_eq!(queue.settled(A)["delivered"], 203);
    assert_eq!(queue.depth(A).pending, 97);
    assert_eq!(attempts(&backend).len(), 204, "nothing is begun after it");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_becomes_slow_gets_no_more_sequences() {
    struct Slow(Mutex<Vec<(u64, Instant)>>);
    impl Backend for Slow {
        fn deliver<'a>(&'a self, given: &'a [Delivery], _: Instant) -> BoxFuture<'a, Vec<Verdict>> {
            Box::pin(async move {
                let number = given[0].event.id.number();
                self.0.lock().unwrap().push((number, Instant::now()));
                if number >= 200 {
                    sleep(secs(5)).await;
                }
                vec![Ok(Receipt::default()); given.len()]
            })
        }
        fn one_by_one(&self) -> bool {
            true
        }
    }
    let (queue, backend) = (Memory::new(), Arc::new(Slow(Mutex::default())));
    queue.put(A, 0..200);
    let _deliverer = start(&queue, vec![(target(A), backend.clone())]);
    queue.emptied().await;
    let origin = Instant::now();
    queue.put(A, 200..208);
    queue.emptied().await;
    let began = backend.0.lock().unwrap().clone();
    let slow: Vec<u64> =
        began[200..].iter().map(|b| b.1.duration_since(origin).as_secs()).collect();
    assert_eq!(slow, [0, 0, 0, 0, 5, 5, 5, 5], "four at a time, two rounds");
}
