//! A retry that waits for its time is due at once when a person asks for it, with the attempts that it had.

use crate::contract::*;
use crate::embedded::tests::support::Folder;
use crate::{Fate, Queue};

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
    assert_eq!(store.hasten(a, None).await.unwrap(), MANY as u64 - 2);
    assert_eq!(store.hasten(a, None).await.unwrap(), 0, "they are due");
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
    assert_eq!(store.hasten(a, Some(chosen)).await.unwrap(), 1);
    assert_eq!(texts(&claim(&*store, a, 1).await), ["1"]);
    let fate = store.fate(ids[0]).await.unwrap().unwrap().fates[0].1.clone();
    assert!(matches!(fate, Fate::Retrying { attempts: 1, .. }), "{fate:?}");
}
