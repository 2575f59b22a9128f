//! What every engine behind [`Queue`] must do, as tests that any engine can run.
//!
//! An engine implements [`Opener`] and names itself in [`contract!`](crate::contract!).

#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a panic is how a test fails")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{
    AppendError, DIGEST_EVENTS_MAX, Depth, NewRequest, Outcome, Queue, Settlement, Window,
};
use dispatcher_model::{
    Attributes, Dedup, Delivery, Event, EventId, Headers, Planned, Receipt, Severity, Shape,
    TargetNumber, Timestamp,
};

mod acts;
pub use acts::*;

/// Opens the same store again and again; the one before is closed or dropped by then.
pub trait Opener {
    fn open(&self) -> Arc<dyn Queue>;
}

pub const HOUR: Duration = Duration::from_secs(3_600);

pub fn now() -> Timestamp {
    Timestamp::from(std::time::SystemTime::now())
}

pub fn planned(data: impl Into<String>, targets: &[TargetNumber]) -> Planned {
    let data = data.into();
    let attributes = Attributes {
        event_type: "test".into(),
        subject: Some("s".into()),
        time: Some("2024-01-01T00:00:00Z".into()),
        title: format!("title of {data}"),
        severity: Severity::Warning,
        link: None,
    };
    let data = Bytes::from(data);
    let event = Event { attributes, shape: Shape::Object, dedup: None, data };
    Planned { event, targets: targets.to_vec(), unrouted: Vec::new() }
}

/// With a key, and a fingerprint of what else is in it.
pub fn keyed(key: &str, content: u64, targets: &[TargetNumber]) -> Planned {
    let mut planned = planned(format!("{key}-{content}"), targets);
    planned.event.dedup = Some(Dedup { key: key.into(), content });
    planned
}

pub fn request(events: Vec<Planned>) -> NewRequest {
    NewRequest {
        source: "sqreen".into(),
        received_at: now(),
        verified_at: now(),
        scheme: "sqreen".into(),
        key: 0,
        config: 7,
        headers: Headers::from_iter([("x-id", &b"\xff1"[..])]),
        events,
    }
}

pub fn delivered() -> Outcome {
    Outcome::Delivered { receipt: Receipt::default() }
}

pub fn retry(at: Timestamp) -> Outcome {
    Outcome::Retry { at, reason: "later".into(), progress: b"half".to_vec() }
}

pub fn dead(reason: &str) -> Outcome {
    Outcome::Dead { reason: reason.into() }
}

pub fn texts(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|d| String::from_utf8_lossy(&d.event.data).into_owned()).collect()
}

pub async fn register(queue: &dyn Queue, names: &[&str]) -> Vec<TargetNumber> {
    queue.register(names.iter().map(|name| Arc::from(*name)).collect()).await.unwrap()
}

pub async fn append(queue: &dyn Queue, events: Vec<Planned>) -> Vec<EventId> {
    queue.append(request(events)).await.unwrap().ids().to_vec()
}

pub async fn settle(queue: &dyn Queue, target: TargetNumber, list: &[Delivery], outcome: Outcome) {
    let outcomes = list
        .iter()
        .map(|delivery| Settlement { event: delivery.event.id, outcome: outcome.clone() })
        .collect();
    queue.settle(target, outcomes).await.unwrap();
}

/// Fails instead of waiting for ever.
pub async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), work).await.expect("it waits for ever")
}

/// Claims until there are `count`.
pub async fn claim(queue: &dyn Queue, target: TargetNumber, count: usize) -> Vec<Delivery> {
    let mut all = Vec::new();
    while all.len() < count {
        all.extend(within(queue.claim(target, count - all.len(), HOUR)).await.unwrap());
    }
    all
}

/// What can be claimed besides an event that is appended to see the end.
pub async fn claimable(queue: &dyn Queue, target: TargetNumber) -> Vec<String> {
    append(queue, vec![planned("the end", &[target])]).await;
    let mut all = Vec::new();
    loop {
        let got = within(queue.claim(target, 10, HOUR)).await.unwrap();
        all.extend(texts(&got));
        if let Some(end) = all.iter().position(|text| text == "the end") {
            all.remove(end);
            return all;
        }
    }
}

pub async fn gives_in_order_and_once(opener: &dyn Opener) {
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

pub async fn every_target_has_its_own_list(opener: &dyn Opener) {
    let queue = opener.open();
    let [a, b] = register(&*queue, &["a", "b"]).await[..] else { panic!() };
    append(&*queue, vec![planned("both", &[a, b]), planned("b", &[b]), planned("none", &[])]).await;
    append(&*queue, vec![planned("a", &[a])]).await;
    assert_eq!(claimable(&*queue, a).await, ["both", "a"]);
    assert_eq!(claimable(&*queue, b).await, ["both", "b"]);
}

pub async fn a_target_keeps_its_number_and_a_new_one_starts_at_now(opener: &dyn Opener) {
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

pub async fn nothing_is_stored_for_a_request_without_events(opener: &dyn Opener) {
    let queue = opener.open();
    let durable = queue.append(request(Vec::new())).await.unwrap();
    assert!(durable.ids().is_empty());
}

pub async fn a_claim_waits_for_work(opener: &dyn Opener) {
    let queue = opener.open();
    let a = register(&*queue, &["a"]).await[0];
    let mut waiting = Box::pin(queue.claim(a, 5, HOUR));
    // One poll: it waits. Dropping another one like it takes nothing.
    assert!(poll_once(&mut waiting).await.is_none());
    let mut dropped = Box::pin(queue.claim(a, 5, HOUR));
    assert!(poll_once(&mut dropped).await.is_none());
    drop(dropped);
    append(&*queue, vec![planned("1", &[a])]).await;
    assert_eq!(texts(&waiting.await.unwrap()), ["1"]);
}

pub async fn an_untried_claim_leaves_retries_for_the_others(opener: &dyn Opener) {
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

pub async fn a_claim_dropped_while_it_reads_hides_nothing(opener: &dyn Opener) {
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
        // Dropped at every stage of what it had begun.
        (0..given % 100 * 50).for_each(|_| std::hint::spin_loop());
        given += queue.claim(a, 1, HOUR).await.unwrap().len();
    }
}

async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
            std::task::Poll::Ready(done) => Some(done),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

pub async fn a_retry_comes_back_when_it_is_due(opener: &dyn Opener) {
    let queue = opener.open();
    let a = register(&*queue, &["a"]).await[0];
    append(&*queue, vec![planned("soon", &[a]), planned("late", &[a])]).await;
    let first = claim(&*queue, a, 2).await;
    settle(&*queue, a, &first[..1], retry(now())).await;
    settle(&*queue, a, &first[1..], retry(now().plus(HOUR))).await;
    assert_eq!(queue.depth(a), Depth { pending: 2, retrying: 2, ..Depth::default() });
    let again = claim(&*queue, a, 1).await;
    assert_eq!(texts(&again), ["soon"]);
    assert_eq!((again[0].attempt, again[0].progress.as_slice()), (2, &b"half"[..]));
    let first_attempt = again[0].first_attempt_at.unwrap();
    assert!(first_attempt >= again[0].event.received_at && first_attempt <= now());
    settle(&*queue, a, &again, retry(now())).await;
    let third = claim(&*queue, a, 1).await;
    assert_eq!((third[0].attempt, third[0].first_attempt_at), (3, Some(first_attempt)));
    settle(&*queue, a, &third, delivered()).await;
    assert!(claimable(&*queue, a).await.is_empty());
    assert_eq!(queue.depth(a), Depth { pending: 2, retrying: 1, in_flight: 1, dead: 0 });
}

pub async fn what_gathers_comes_back_at_its_time_without_an_attempt(opener: &dyn Opener) {
    let queue = opener.open();
    let a = register(&*queue, &["a"]).await[0];
    append(&*queue, vec![planned("1", &[a]), planned("2", &[a])]).await;
    let both = claim(&*queue, a, 2).await;
    settle(&*queue, a, &both, Outcome::Wait { until: now().plus(HOUR) }).await;
    assert!(claimable(&*queue, a).await.is_empty());
    assert_eq!(queue.depth(a).pending, 3);
    queue.close().await.unwrap();
    drop(queue);
    let queue = opener.open();
    append(&*queue, vec![planned("3", &[a])]).await;
    // The lease of "the end" went with the process.
    let new = claim(&*queue, a, 2).await;
    assert_eq!(texts(&new), ["the end", "3"]);
    settle(&*queue, a, &new, Outcome::Wait { until: now() }).await;
    let again = claim(&*queue, a, 2).await;
    assert!(again.iter().all(|d| d.attempt == 1 && d.first_attempt_at.is_none()), "{again:?}");
}

pub async fn a_message_settles_its_deliveries_and_its_window_survives(opener: &dyn Opener) {
    let queue = opener.open();
    let a = register(&*queue, &["a", "b"]).await[0];
    for _ in 0..DIGEST_EVENTS_MAX / 500 {
        append(&*queue, (0..500).map(|n| planned(n.to_string(), &[a])).collect()).await;
    }
    let all = claim(&*queue, a, DIGEST_EVENTS_MAX).await;
    let receipt = Receipt { id: Some("SM1".into()), fields: Vec::new() };
    let outcomes = |outcome: Outcome| {
        let ids = all.iter().map(|delivery| delivery.event.id);
        ids.map(|event| Settlement { event, outcome: outcome.clone() }).collect::<Vec<_>>()
    };
    let until = Timestamp::from_millis(now().plus(HOUR).as_millis());
    let window = Window { group: 7, until };
    queue.settle_digest(a, outcomes(retry(now())), window).await.unwrap();
    let later = Window { group: 7, until: until.plus(HOUR) };
    assert_eq!(claim(&*queue, a, DIGEST_EVENTS_MAX).await.len(), DIGEST_EVENTS_MAX);
    let outcome = Outcome::Delivered { receipt };
    queue.settle_digest(a, outcomes(outcome), later).await.unwrap();
    assert_eq!(queue.depth(a), Depth::default());
    queue.close().await.unwrap();
    drop(queue);
    let queue = opener.open();
    let windows = queue.windows(a).await.unwrap();
    assert_eq!(windows.last(), Some(&later), "{windows:?}");
    assert_eq!(queue.windows(TargetNumber(a.0 + 1)).await.unwrap(), []);
    assert_eq!(queue.depth(a), Depth::default());
    assert!(claimable(&*queue, a).await.is_empty());
}

pub async fn what_is_released_is_as_before(opener: &dyn Opener) {
    let queue = opener.open();
    let a = register(&*queue, &["a"]).await[0];
    append(&*queue, vec![planned("1", &[a]), planned("2", &[a])]).await;
    for _ in 0..5 {
        let probe = queue.claim(a, 1, HOUR).await.unwrap();
        assert_eq!((texts(&probe), probe[0].attempt), (vec!["1".to_owned()], 1));
        settle(&*queue, a, &probe, Outcome::Release).await;
        assert_eq!(queue.depth(a), Depth { pending: 2, ..Depth::default() });
    }
    let one = claim(&*queue, a, 1).await;
    settle(&*queue, a, &one, retry(now())).await;
    queue.flush().await.unwrap();
    for _ in 0..3 {
        let retried = queue.claim(a, 1, HOUR).await.unwrap();
        assert_eq!((texts(&retried), retried[0].attempt), (vec!["1".to_owned()], 2));
        settle(&*queue, a, &retried, Outcome::Release).await;
    }
    assert_eq!(claimable(&*queue, a).await, ["1", "2"]);
}

pub async fn dead_letters_are_kept_with_their_reason(opener: &dyn Opener) {
    let queue = opener.open();
    let [a, b] = register(&*queue, &["a", "b"]).await[..] else { panic!() };
    let ids = append(&*queue, (0..5).map(|i| planned(i.to_string(), &[a, b])).collect()).await;
    let all = claim(&*queue, a, 5).await;
    settle(&*queue, a, &all[3..], dead("no such number")).await;
    settle(&*queue, a, &all[..3], dead("rejected")).await;
    queue.flush().await.unwrap();
    assert_eq!(queue.depth(a), Depth { dead: 5, ..Depth::default() });
    let letters = queue.dead_letters(a, None, 2).await.unwrap();
    assert_eq!(letters.iter().map(|l| l.event).collect::<Vec<_>>(), ids[..2]);
    let rest = queue.dead_letters(a, Some(ids[1]), 10).await.unwrap();
    assert_eq!(rest.iter().map(|l| l.event).collect::<Vec<_>>(), ids[2..]);
    let last = &rest[2];
    assert_eq!((last.count, last.attempts, last.reason.as_str()), (1, 1, "no such number"));
    assert_eq!(last.target, a);
    assert!(queue.dead_letters(b, None, 10).await.unwrap().is_empty());
    assert!(claimable(&*queue, a).await.is_empty());
}

pub async fn a_lease_that_ends_gives_back_unless_extended(opener: &dyn Opener) {
    let queue = opener.open();
    let a = register(&*queue, &["a"]).await[0];
    append(&*queue, vec![planned("1", &[a]), planned("2", &[a])]).await;
    let lost = queue.claim(a, 2, Duration::ZERO).await.unwrap();
    let again = queue.claim(a, 2, Duration::ZERO).await.unwrap();
    assert_eq!(texts(&again), ["1", "2"]);
    assert_eq!(again[0].attempt, 1);
    queue.extend(a, vec![lost[1].event.id], HOUR);
    assert_eq!(claimable(&*queue, a).await, ["1"]);
    // The same for one that has a row.
    settle(&*queue, a, &lost[1..], retry(now())).await;
    let lost = queue.claim(a, 1, Duration::ZERO).await.unwrap();
    let again = queue.claim(a, 1, Duration::ZERO).await.unwrap();
    assert_eq!((texts(&lost), again[0].attempt), (texts(&again), 2));
    queue.extend(a, vec![again[0].event.id], HOUR);
    assert!(claimable(&*queue, a).await.is_empty());
}

pub async fn settling_what_is_not_claimed_changes_nothing(opener: &dyn Opener) {
    let queue = opener.open();
    let a = register(&*queue, &["a"]).await[0];
    append(&*queue, vec![planned("1", &[a]), planned("2", &[a])]).await;
    let one = claim(&*queue, a, 1).await;
    settle(&*queue, a, &one, delivered()).await;
    settle(&*queue, a, &one, dead("twice")).await;
    settle(&*queue, a, &one, retry(now())).await;
    settle(&*queue, a, &one, Outcome::Release).await;
    let foreign = EventId::new(now(), 0, 0);
    let outcomes = vec![Settlement { event: foreign, outcome: delivered() }];
    queue.settle(a, outcomes).await.unwrap();
    assert_eq!(queue.depth(a), Depth { pending: 1, ..Depth::default() });
    queue.flush().await.unwrap();
    assert_eq!(claimable(&*queue, a).await, ["2"]);
}

pub async fn a_repeated_event_has_the_id_of_its_first(opener: &dyn Opener) {
    let queue = opener.open();
    let a = register(&*queue, &["a"]).await[0];
    let first = append(&*queue, vec![keyed("k", 1, &[a])]).await[0];
    let again = queue.append(request(vec![keyed("k", 1, &[a])])).await.unwrap();
    assert_eq!((again.ids(), again.duplicates()), (&[first][..], 1));
    // Mixed with new ones, the order of the request is kept; also within one request.
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
    assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), 4);
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

pub async fn of_many_equal_events_at_once_one_is_stored(opener: &dyn Opener) {
    let queue = opener.open();
    let a = register(&*queue, &["a"]).await[0];
    let tasks: Vec<_> = (0..40)
        .map(|i| {
            let queue = queue.clone();
            let key = format!("k{}", i % 4);
            tokio::spawn(async move { queue.append(request(vec![keyed(&key, 1, &[a])])).await })
        })
        .collect();
    let mut ids = std::collections::HashSet::new();
    let mut duplicates = 0;
    for task in tasks {
        let durable = task.await.unwrap().unwrap();
        ids.insert(durable.ids()[0]);
        duplicates += durable.duplicates();
    }
    assert_eq!((ids.len(), duplicates, queue.depth(a).pending), (4, 36, 4));
}

pub async fn what_is_too_old_dies_by_one_record(opener: &dyn Opener) {
    let queue = opener.open();
    let a = register(&*queue, &["a"]).await[0];
    let mut ids = Vec::new();
    for i in 0..10u64 {
        let mut request = request(vec![planned(i.to_string(), &[a])]);
        request.received_at = Timestamp::from_millis(1_000 + i);
        ids.extend(queue.append(request).await.unwrap().ids().to_vec());
    }
    // 0 is claimed, 1 was given back, 2 waits for a retry, 3 is delivered; 4 to 6 were never tried.
    let some = claim(&*queue, a, 4).await;
    settle(&*queue, a, &some[1..2], Outcome::Release).await;
    settle(&*queue, a, &some[2..3], retry(now().plus(HOUR))).await;
    settle(&*queue, a, &some[3..4], delivered()).await;
    let before = Timestamp::from_millis(1_007);
    assert_eq!(queue.expire(a, before, "too old".into()).await.unwrap(), 4);
    assert_eq!(queue.expire(a, before, "too old".into()).await.unwrap(), 0);
    queue.flush().await.unwrap();
    let letters = queue.dead_letters(a, None, 10).await.unwrap();
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!((letter.event, letter.count, letter.attempts), (ids[1], 4, 0));
    assert_eq!(letter.reason, "too old");
    assert_eq!(queue.depth(a), Depth { pending: 5, retrying: 1, in_flight: 1, dead: 4 });
    queue.close().await.unwrap();
    drop(queue);
    let queue = opener.open();
    assert_eq!(queue.depth(a), Depth { pending: 5, retrying: 1, in_flight: 0, dead: 4 });
    assert_eq!(claimable(&*queue, a).await, ["0", "7", "8", "9"]);
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

pub async fn what_was_settled_stays_settled_after_a_restart(opener: &dyn Opener) {
    let queue = opener.open();
    let a = register(&*queue, &["a"]).await[0];
    append(&*queue, (0..8).map(|i| planned(i.to_string(), &[a])).collect()).await;
    let all = claim(&*queue, a, 6).await;
    settle(&*queue, a, &all[1..2], delivered()).await;
    settle(&*queue, a, &all[3..4], dead("no")).await;
    settle(&*queue, a, &all[4..5], retry(Timestamp::from_millis(1))).await;
    let depth = queue.depth(a);
    queue.close().await.unwrap();
    drop(queue);
    let queue = opener.open();
    assert_eq!(queue.depth(a), Depth { in_flight: 0, ..depth });
    let mut left = claimable(&*queue, a).await;
    left.sort();
    assert_eq!(left, ["0", "2", "4", "5", "6", "7"]);
}

pub async fn a_closed_store_says_so(opener: &dyn Opener) {
    let queue = opener.open();
    let a = register(&*queue, &["a"]).await[0];
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { queue.claim(a, 1, HOUR).await }
    });
    queue.close().await.unwrap();
    assert!(waiting.await.unwrap().is_err());
    let refused = queue.append(request(vec![planned("1", &[a])])).await;
    assert!(matches!(refused, Err(AppendError::Closed)));
    assert!(queue.claim(a, 1, HOUR).await.is_err());
    assert!(queue.settle(a, Vec::new()).await.is_err());
    assert!(queue.flush().await.is_err());
    assert!(queue.close().await.is_err());
}

pub async fn many_at_once_are_all_stored_and_given(opener: &dyn Opener) {
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
    let mut got = std::collections::HashSet::new();
    while got.len() < 32 * 20 {
        let some = queue.claim(a, 50, HOUR).await.unwrap();
        for text in texts(&some) {
            assert!(got.insert(text), "given twice");
        }
        settle(&*queue, a, &some, delivered()).await;
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(queue.depth(a), Depth::default());
}

/// Makes a test of each of the contract's sentences for an engine.
#[macro_export]
macro_rules! contract {
    ($opener:expr; $($sentence:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $sentence() {
                let opener = $opener;
                let sentence = $crate::contract::$sentence(&opener);
                $crate::contract::within(sentence).await;
            }
        )*
    };
    ($opener:expr) => {
        $crate::contract!($opener;
            gives_in_order_and_once
            every_target_has_its_own_list
            a_target_keeps_its_number_and_a_new_one_starts_at_now
            nothing_is_stored_for_a_request_without_events
            a_claim_waits_for_work
            an_untried_claim_leaves_retries_for_the_others
            a_claim_dropped_while_it_reads_hides_nothing
            a_retry_comes_back_when_it_is_due
            what_gathers_comes_back_at_its_time_without_an_attempt
            a_message_settles_its_deliveries_and_its_window_survives
            what_is_released_is_as_before
            dead_letters_are_kept_with_their_reason
            a_lease_that_ends_gives_back_unless_extended
            settling_what_is_not_claimed_changes_nothing
            a_repeated_event_has_the_id_of_its_first
            of_many_equal_events_at_once_one_is_stored
            what_is_too_old_dies_by_one_record
            an_event_is_found_by_its_id
            what_was_settled_stays_settled_after_a_restart
            a_closed_store_says_so
            many_at_once_are_all_stored_and_given
            a_held_target_gives_nothing_until_it_is_lifted
            a_dead_letter_can_be_replayed_or_dropped
            a_run_of_dead_letters_is_replayed_whole_or_one_by_one
            what_is_skipped_dies_with_its_retries
            the_fate_of_an_event_is_known
        );
    };
}
