//! Tests with the real store, in real time.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::sleep;

use super::{Act, Deliverer, RETRY, Scripted, secs, target};
use crate::deliver::Settings;
use crate::model::TargetNumber;
use crate::retry::Policy;
use crate::store::contract::{append, planned, register};
use crate::store::embedded::{self, Embedded};
use crate::store::{Depth, Queue};
use crate::telemetry::Feed;

async fn wait_for(queue: &dyn Queue, number: TargetNumber, wanted: impl Fn(Depth) -> bool) {
    while !wanted(queue.depth(number)) {
        sleep(Duration::from_millis(10)).await;
    }
}

fn open(folder: &tempfile::TempDir) -> Arc<dyn Queue> {
    let settings = embedded::Settings::new(folder.path());
    Embedded::open(settings).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_reaches_a_target_that_often_fails_across_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let policy = Policy { backoff_min: Duration::from_millis(10), ..Policy::default() };
    let taken = Arc::new(Mutex::new(BTreeSet::new()));
    let mut number = TargetNumber(0);
    for round in 0..2 {
        let queue = open(&folder);
        number = register(&*queue, &["a"]).await[0];
        let seen = Arc::clone(&taken);
        // One event in ten fails at its first attempt.
        let backend = Scripted::each(move |delivery| {
            if delivery.event.data.ends_with(b"3") && delivery.attempt == 1 {
                return RETRY;
            }
            seen.lock().unwrap().insert(delivery.event.id);
            Act::Take
        });
        if round == 0 {
            let events =
                |_| append(&*queue, (0..50).map(|i| planned(i.to_string(), &[number])).collect());
            for request in 0..20 {
                events(request).await;
            }
        }
        let settings = Settings { policy: policy.clone(), ..target(number) };
        let feed = Feed::default();
        let deliverer =
            Deliverer::start(&Handle::current(), queue.clone(), vec![(settings, backend)], feed);
        if round == 0 {
            wait_for(&*queue, number, |depth| depth.pending < 700).await;
        } else {
            wait_for(&*queue, number, |depth| depth.pending == 0).await;
        }
        deliverer.stop(secs(10)).await;
        queue.close().await.unwrap();
    }
    assert_eq!(taken.lock().unwrap().len(), 1_000);
    let queue = open(&folder);
    assert_eq!(register(&*queue, &["a"]).await, [number]);
    assert_eq!(queue.depth(number), Depth::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_that_waited_too_long_are_dead_letters_in_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let queue = open(&folder);
    let number = register(&*queue, &["a"]).await[0];
    append(&*queue, (0..900).map(|i| planned(i.to_string(), &[number])).collect()).await;
    let policy = Policy { give_up_after: Duration::from_millis(500), ..Policy::default() };
    let settings = Settings { policy, concurrency: 1, ..target(number) };
    let backend = Scripted::batch(|_| RETRY);
    let feed = Feed::default();
    let deliverer =
        Deliverer::start(&Handle::current(), queue.clone(), vec![(settings, backend)], feed);
    // All but those that were tried.
    wait_for(&*queue, number, |depth| depth.dead > 850).await;
    deliverer.stop(secs(10)).await;
    queue.close().await.unwrap();
    drop(queue);
    let queue = open(&folder);
    let letters = queue.dead_letters(number, None, 1_000).await.unwrap();
    assert!(letters.iter().any(|letter| letter.count > 850), "one record: {letters:?}");
}
