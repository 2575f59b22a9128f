//! A retry that waits for its time is due at once when a person asks for it, with the attempts that it had.

use std::time::Duration;

use dispatcher_model::Timestamp;

use crate::contract::*;
use crate::embedded::tests::support::Folder;
use crate::{DIGEST_EVENTS_MAX, Fate, Later, Outcome, Queue, Retries, Settlement, Window};

/// More than one record takes.
const MANY: usize = 2_300;

#[tokio::test]
async fn retries_are_due_now_with_their_attempts_also_after_a_restart() {
    let folder = Folder::new();
    let store = folder.store();
    let [a, b] = register(&*store, &["a", "b"]).await[..] else { panic!() };
    for part in 0..3 {
        let events = part * MANY / 3..(part + 1) * MANY / 3;
        append(&*store, events.map(|i| planned(i.to_string(), &[a, b])).collect()).await;
    }
    let later = store.now().plus(HOUR);
    for target in [a, b] {
        let claimed = claim(&*store, target, MANY - 2).await;
        settle(&*store, target, &claimed, retry(later)).await;
    }
    assert_eq!(store.depth(a).retrying, MANY as u64 - 2);
    assert_eq!(store.hasten(a, Retries::All).await.unwrap(), MANY as u64 - 2);
    assert_eq!(store.hasten(a, Retries::All).await.unwrap(), 0, "they are due");
    assert_eq!(store.depth(a).retrying, MANY as u64 - 2);
    store.close().await.unwrap();
    drop(store);
    let store = folder.store();
    let retried = claim(&*store, a, MANY - 2).await;
    assert!(retried.iter().all(|delivery| delivery.attempt == 2 && delivery.progress == b"half"));
    // Those of another target wait.
    assert_eq!(claimable(&*store, b).await.len(), 2);
}

#[tokio::test]
async fn only_the_chosen_ones_that_are_not_being_attempted_are_due() {
    let folder = Folder::new();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    let ids = append(&*store, (0..4).map(|i| planned(i.to_string(), &[a])).collect()).await;
    let claimed = claim(&*store, a, 4).await;
    settle(&*store, a, &claimed[..3], retry(store.now().plus(HOUR))).await;
    // One is chosen and waits, one is chosen and claimed, one is unknown.
    let unknown = dispatcher_model::EventId::new(now(), 1, 9 << 20);
    let chosen = vec![ids[1], ids[3], unknown];
    assert_eq!(store.hasten(a, Retries::Of(chosen)).await.unwrap(), 1);
    assert_eq!(texts(&claim(&*store, a, 1).await), ["1"]);
    let fate = store.fate(ids[0]).await.unwrap().unwrap().fates[0].1.clone();
    assert!(matches!(fate, Fate::Retrying { attempts: 1, .. }), "{fate:?}");
}

#[tokio::test]
async fn the_events_of_a_message_stay_together_and_those_for_the_next_one_wait() {
    let folder = Folder::new();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    let ids = append(&*store, (0..5).map(|i| planned(i.to_string(), &[a])).collect()).await;
    let claimed = claim(&*store, a, 5).await;
    let (later, until) = (store.now().plus(HOUR), store.now().plus(HOUR));
    let outcomes = |of: &[dispatcher_model::Delivery], outcome: Outcome| {
        let settle = |delivery: &dispatcher_model::Delivery| Settlement {
            event: delivery.event.id,
            outcome: outcome.clone(),
        };
        of.iter().map(settle).collect::<Vec<_>>()
    };
    let window = Window { group: 7, until };
    store.settle_digest(a, outcomes(&claimed[..3], retry(later)), window).await.unwrap();
    settle(&*store, a, &claimed[3..4], Outcome::Wait { until }).await;
    settle(&*store, a, &claimed[4..], retry(later.plus(HOUR))).await;
    let waits = |which| store.later(a, which);
    assert_eq!(waits(Retries::All).await.unwrap(), Later { retries: 4, for_digest: 1 });
    let chosen = Retries::OfMessagesWith(vec![ids[1], ids[3]]);
    let expected = Later { retries: 3, for_digest: 1 };
    assert_eq!(waits(chosen.clone()).await.unwrap(), expected);
    assert_eq!(store.hasten(a, chosen).await.unwrap(), 3);
    assert_eq!(texts(&claim(&*store, a, 3).await), ["0", "1", "2"]);
    assert_eq!(waits(Retries::All).await.unwrap(), Later { retries: 1, for_digest: 1 });
}

#[tokio::test]
async fn the_events_of_a_message_stay_together_after_its_window_ended() {
    let folder = Folder::new();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    let ids = append(&*store, (0..3).map(|i| planned(i.to_string(), &[a])).collect()).await;
    claim(&*store, a, 3).await;
    let outcome = retry(store.now().plus(HOUR));
    let outcomes = ids.iter().map(|event| Settlement { event: *event, outcome: outcome.clone() });
    let until = Timestamp::from_millis(store.now().as_millis() - 2 * 3_600_000);
    store.settle_digest(a, outcomes.collect(), Window { group: 7, until }).await.unwrap();
    assert!(store.windows(a).await.unwrap().is_empty());
    let chosen = Retries::OfMessagesWith(vec![ids[1]]);
    assert_eq!(store.later(a, chosen.clone()).await.unwrap().retries, 3);
    assert_eq!(store.hasten(a, chosen).await.unwrap(), 3);
    assert_eq!(texts(&claim(&*store, a, 3).await), ["0", "1", "2"]);
}

/// As when the person who asked for it leaves.
#[tokio::test]
async fn it_is_done_whole_also_if_nothing_waits_for_it() {
    let folder = Folder::new();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    for part in 0..3 {
        let events = part * 1_000..(part + 1) * 1_000;
        append(&*store, events.map(|i| planned(i.to_string(), &[a])).collect()).await;
    }
    let claimed = claim(&*store, a, 3_000).await;
    let (one, other) = claimed.split_at(DIGEST_EVENTS_MAX);
    settle(&*store, a, one, retry(store.now().plus(HOUR))).await;
    settle(&*store, a, other, retry(store.now().plus(HOUR * 2))).await;
    let mut hastened = store.hasten(a, Retries::All);
    assert!(tokio::time::timeout(Duration::ZERO, &mut hastened).await.is_err());
    drop(hastened);
    assert_eq!(claim(&*store, a, 3_000).await.len(), 3_000);
}

/// A claim at any moment gets each retry once, also while they are made due.
#[tokio::test]
async fn what_is_delivered_meanwhile_is_not_recorded_again() {
    let folder = Folder::new();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    let (many, soon) = (600, Duration::from_millis(1));
    append(&*store, (0..many).map(|i| planned(i.to_string(), &[a])).collect()).await;
    let claimed = claim(&*store, a, many).await;
    for (i, delivery) in (0u32..).zip(&claimed) {
        let at = store.now().plus(soon * i);
        settle(&*store, a, std::slice::from_ref(delivery), retry(at)).await;
    }
    let taking = {
        let store = store.clone();
        tokio::spawn(async move {
            let mut all = Vec::new();
            while all.len() < many {
                let some = within(store.claim(a, 7, HOUR)).await.unwrap();
                settle(&*store, a, &some, delivered()).await;
                all.extend(texts(&some));
            }
            all
        })
    };
    while !taking.is_finished() {
        store.hasten(a, Retries::All).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut all = taking.await.unwrap();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), many);
    assert_eq!(store.depth(a).pending, 0);
}
