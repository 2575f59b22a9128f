//! Claims and leases: which deliveries a target gets, in which order, and for how long.

use std::time::Duration;

use crate::{Depth, Outcome};

use super::kit::*;

pub async fn deliveries_come_in_order_and_once(opener: &dyn Opener) {
    let queue = opener.open();
    let a = register(&*queue, &["a"]).await[0];
    let ids = append(&*queue, vec![planned("1", &[a]), planned("2", &[a])]).await;
    append(&*queue, vec![planned("3", &[a])]).await;
    assert_eq!(queue.depth(a), Depth { pending: 3, ..Depth::default() });
    let first = queue.claim(a, 2, HOUR).await.unwrap();
    assert_eq!(texts(&first), ["1", "2"]);
    assert_eq!(first.iter().map(|d| d.event.id).collect::<Vec<_>>(), ids);
    assert_eq!((first[0].attempt, first[0].first_attempt_at), (1, None));
    let event = &first[0].event;
    assert_eq!((&*event.source, event.attributes.title.as_str()), ("sqreen", "title of 1"));
    assert_eq!(event.headers.iter().collect::<Vec<_>>(), vec![("x-id", &b"\xff1"[..])]);
    assert_eq!(queue.depth(a), Depth { pending: 3, in_flight: 2, ..Depth::default() });
    settle(&*queue, a, &first, delivered()).await;
    assert_eq!(queue.depth(a), Depth { pending: 1, ..Depth::default() });
    assert_eq!(claimable(&*queue, a).await, ["3"]);
}

pub async fn each_target_gets_its_own_events(opener: &dyn Opener) {
    let queue = opener.open();
    let [a, b] = register(&*queue, &["a", "b"]).await[..] else { panic!() };
    append(&*queue, vec![planned("both", &[a, b]), planned("b", &[b]), planned("none", &[])]).await;
    append(&*queue, vec![planned("a", &[a])]).await;
    assert_eq!(claimable(&*queue, a).await, ["both", "a"]);
    assert_eq!(claimable(&*queue, b).await, ["both", "b"]);
}

pub async fn a_target_keeps_its_number_and_a_new_one_starts_empty(opener: &dyn Opener) {
    let queue = opener.open();
    let a = register(&*queue, &["a", "a"]).await;
    assert_eq!(a[0], a[1]);
    append(&*queue, vec![planned("past", &[a[0]])]).await;
    let both = register(&*queue, &["b", "a"]).await;
    assert_eq!(both[1], a[0]);
    assert_ne!(both[0], a[0]);
    assert_eq!(queue.depth(both[0]), Depth::default());
    assert!(claimable(&*queue, both[0]).await.is_empty());
    queue.close().await.unwrap();
    drop(queue);
    let queue = opener.open();
    assert_eq!(register(&*queue, &["a", "b", "c"]).await[..2], [a[0], both[0]]);
}

pub async fn a_claim_waits_for_work(opener: &dyn Opener) {
    let queue = opener.open();
    let a = register(&*queue, &["a"]).await[0];
    let mut waiting = Box::pin(queue.claim(a, 5, HOUR));
    // After one poll it waits. Dropping another claim that waits takes nothing.
    assert!(poll_once(&mut waiting).await.is_none());
    let mut dropped = Box::pin(queue.claim(a, 5, HOUR));
    assert!(poll_once(&mut dropped).await.is_none());
    drop(dropped);
    append(&*queue, vec![planned("1", &[a])]).await;
    assert_eq!(texts(&waiting.await.unwrap()), ["1"]);
}

pub async fn an_untried_claim_skips_retries(opener: &dyn Opener) {
    let queue = opener.open();
    let a = register(&*queue, &["a"]).await[0];
    append(&*queue, vec![planned("1", &[a]), planned("2", &[a]), planned("back", &[a])]).await;
    let first = claim(&*queue, a, 3).await;
    settle(&*queue, a, &first[..2], retry(now())).await;
    settle(&*queue, a, &first[2..], Outcome::Release).await;
    append(&*queue, vec![planned("new", &[a])]).await;
    let mut untried = Vec::new();
    while untried.len() < 2 {
        untried.extend(queue.claim_untried(a, 10, HOUR).await.unwrap());
    }
    assert_eq!(texts(&untried), ["back", "new"]);
    assert!(untried.iter().all(|delivery| delivery.attempt == 1));
    let mut waiting = Box::pin(queue.claim_untried(a, 10, HOUR));
    assert!(poll_once(&mut waiting).await.is_none());
    assert_eq!(texts(&claim(&*queue, a, 2).await), ["1", "2"]);
}

pub async fn a_cancelled_claim_loses_no_delivery(opener: &dyn Opener) {
    let queue = opener.open();
    let a = register(&*queue, &["a"]).await[0];
    append(&*queue, (0..1_000).map(|i| planned(i.to_string(), &[a])).collect()).await;
    let first = claim(&*queue, a, 1_000).await;
    settle(&*queue, a, &first, retry(now())).await;
    let mut given = 0;
    while given < 1_000 {
        if let Some(got) = poll_once(&mut queue.claim(a, 1, HOUR)).await {
            given += got.unwrap().len();
            continue;
        }
        // Dropped at every stage of its read.
        (0..given % 100 * 50).for_each(|_| std::hint::spin_loop());
        given += queue.claim(a, 1, HOUR).await.unwrap().len();
    }
}

pub async fn an_expired_lease_returns_the_delivery_unless_extended(opener: &dyn Opener) {
    let queue = opener.open();
    let a = register(&*queue, &["a"]).await[0];
    append(&*queue, vec![planned("1", &[a]), planned("2", &[a])]).await;
    let lost = queue.claim(a, 2, Duration::ZERO).await.unwrap();
    let again = queue.claim(a, 2, Duration::ZERO).await.unwrap();
    assert_eq!(texts(&again), ["1", "2"]);
    assert_eq!(again[0].attempt, 1);
    queue.extend(a, vec![lost[1].event.id], HOUR);
    assert_eq!(claimable(&*queue, a).await, ["1"]);
    // The same holds for a delivery with a row in the index.
    settle(&*queue, a, &lost[1..], retry(now())).await;
    let lost = queue.claim(a, 1, Duration::ZERO).await.unwrap();
    let again = queue.claim(a, 1, Duration::ZERO).await.unwrap();
    assert_eq!((texts(&lost), again[0].attempt), (texts(&again), 2));
    queue.extend(a, vec![again[0].event.id], HOUR);
    assert!(claimable(&*queue, a).await.is_empty());
}
