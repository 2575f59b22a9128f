//! Requests and events: what is stored, what is a repetition, and how an event is found.

use std::collections::HashSet;
use std::time::Duration;

use crate::Depth;
use dispatcher_model::{EventId, Timestamp};

use super::kit::*;

pub async fn a_request_without_events_stores_nothing(opener: &dyn Opener) {
    let queue = opener.open();
    let durable = queue.append(request(Vec::new())).await.unwrap();
    assert!(durable.ids().is_empty());
}

pub async fn a_repetition_gets_the_id_of_the_first_event(opener: &dyn Opener) {
    let queue = opener.open();
    let a = register(&*queue, &["a"]).await[0];
    let first = append(&*queue, vec![keyed("k", 1, &[a])]).await[0];
    let again = queue.append(request(vec![keyed("k", 1, &[a])])).await.unwrap();
    assert_eq!((again.ids(), again.duplicates()), (&[first][..], 1));
    // Among new events, and within one request, ids keep the order of the request.
    let events = vec![
        keyed("x", 1, &[a]),
        keyed("k", 1, &[a]),
        planned("plain", &[a]),
        keyed("x", 1, &[a]),
        keyed("x", 2, &[a]),
    ];
    let mixed = queue.append(request(events)).await.unwrap();
    let ids = mixed.ids();
    assert_eq!((mixed.duplicates(), ids[1], ids[3]), (2, first, ids[0]));
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 4);
    // Another source may use the same key.
    let mut other = request(vec![keyed("k", 1, &[a])]);
    other.source = "other".into();
    assert_eq!(queue.append(other).await.unwrap().duplicates(), 0);
    assert_eq!(claimable(&*queue, a).await, ["k-1", "x-1", "plain", "x-2", "k-1"]);
    queue.close().await.unwrap();
    drop(queue);
    let queue = opener.open();
    let again = queue.append(request(vec![keyed("k", 1, &[a])])).await.unwrap();
    assert_eq!((again.ids(), again.duplicates()), (&[first][..], 1));
}

/// Not only the newest content of an id is known.
pub async fn an_id_may_come_with_several_contents(opener: &dyn Opener) {
    let queue = opener.open();
    let a = register(&*queue, &["a"]).await[0];
    let sent = |content| request(vec![keyed("k", content, &[a])]);
    let mut first = Vec::new();
    for content in [1, 2, 3] {
        first.extend_from_slice(queue.append(sent(content)).await.unwrap().ids());
    }
    let again = |contents: &[u64]| contents.iter().map(|c| keyed("k", *c, &[a])).collect();
    for contents in [[1, 2, 3], [3, 1, 2], [1, 1, 1]] {
        let durable = queue.append(request(again(&contents))).await.unwrap();
        let expected = contents.map(|content| first[usize::try_from(content).unwrap() - 1]);
        assert_eq!((durable.ids(), durable.duplicates()), (&expected[..], 3));
    }
    // In one request, and with new events between them.
    let mixed = queue.append(request(again(&[7, 8, 7, 1, 8]))).await.unwrap();
    let ids = mixed.ids();
    assert_eq!((mixed.duplicates(), ids[2], ids[3], ids[4]), (3, ids[0], first[0], ids[1]));
    queue.close().await.unwrap();
    drop(queue);
    let queue = opener.open();
    let durable = queue.append(request(again(&[1, 8, 2, 7, 3]))).await.unwrap();
    assert_eq!(durable.duplicates(), 5);
}

pub async fn a_repetition_is_within_the_window_of_its_request(opener: &dyn Opener) {
    let queue = opener.open();
    let a = register(&*queue, &["a"]).await[0];
    let at = now().as_millis() - 3_600_000;
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    for (received_ms, window, duplicates) in [
        (at, minutes(1), 0),
        (at + 59_999, minutes(1), 1),
        (at + 60_000, minutes(2), 1),
        (at + 60_000, minutes(1), 0),
        (at + 120_000, minutes(1), 0),
        (at + 120_001, minutes(60), 1),
    ] {
        let mut request = request(vec![keyed("k", 1, &[a])]);
        request.received_at = Timestamp::from_millis(received_ms);
        request.repeat_window = window;
        let durable = queue.append(request).await.unwrap();
        assert_eq!(durable.duplicates(), duplicates, "{} ms, {window:?}", received_ms - at);
    }
}

pub async fn concurrent_repetitions_are_stored_once(opener: &dyn Opener) {
    let queue = opener.open();
    let a = register(&*queue, &["a"]).await[0];
    let tasks: Vec<_> = (0..40)
        .map(|i| {
            let queue = queue.clone();
            let key = format!("k{}", i % 4);
            tokio::spawn(async move { queue.append(request(vec![keyed(&key, 1, &[a])])).await })
        })
        .collect();
    let mut ids = HashSet::new();
    let mut duplicates = 0;
    for task in tasks {
        let durable = task.await.unwrap().unwrap();
        ids.insert(durable.ids()[0]);
        duplicates += durable.duplicates();
    }
    assert_eq!((ids.len(), duplicates, queue.depth(a).pending), (4, 36, 4));
}

pub async fn concurrent_appends_are_all_delivered_once(opener: &dyn Opener) {
    let queue = opener.open();
    let a = register(&*queue, &["a"]).await[0];
    let tasks: Vec<_> = (0..32)
        .map(|i| {
            let queue = queue.clone();
            tokio::spawn(async move {
                for j in 0..20 {
                    append(&*queue, vec![planned(format!("{i}.{j}"), &[a])]).await;
                }
            })
        })
        .collect();
    let mut got = HashSet::new();
    while got.len() < 32 * 20 {
        let some = queue.claim(a, 50, HOUR).await.unwrap();
        for text in texts(&some) {
            assert!(got.insert(text), "delivered twice");
        }
        settle(&*queue, a, &some, delivered()).await;
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(queue.depth(a), Depth::default());
}

pub async fn an_event_is_found_by_its_id(opener: &dyn Opener) {
    let queue = opener.open();
    let ids = append(&*queue, vec![planned("1", &[]), planned("2", &[])]).await;
    let wrong = EventId::new(Timestamp::from_millis(1), ids[0].store(), ids[0].number());
    queue.close().await.unwrap();
    drop(queue);
    let queue = opener.open();
    assert_eq!(queue.event(ids[1]).await.unwrap().unwrap().data, "2");
    for unknown in [wrong, EventId::new(now(), ids[0].store(), ids[0].number() + 77)] {
        assert!(queue.event(unknown).await.unwrap().is_none());
    }
}
