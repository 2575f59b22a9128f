//! Outcomes: what settling a delivery changes, and what survives a restart.

use crate::{AppendError, DIGEST_EVENTS_MAX, Depth, Outcome, Settlement, Window};
use dispatcher_model::{EventId, Receipt, TargetNumber, Timestamp};

use super::kit::*;

pub async fn a_retry_returns_when_it_is_due(opener: &dyn Opener) {
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

pub async fn a_waiting_delivery_returns_without_counting_an_attempt(opener: &dyn Opener) {
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
    // The restart ended the lease of "the end".
    let new = claim(&*queue, a, 2).await;
    assert_eq!(texts(&new), ["the end", "3"]);
    settle(&*queue, a, &new, Outcome::Wait { until: now() }).await;
    let again = claim(&*queue, a, 2).await;
    assert!(again.iter().all(|d| d.attempt == 1 && d.first_attempt_at.is_none()), "{again:?}");
}

pub async fn a_digest_settles_its_deliveries_and_its_window_survives_a_restart(
    opener: &dyn Opener,
) {
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

pub async fn a_released_delivery_is_unchanged(opener: &dyn Opener) {
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

pub async fn settling_an_unclaimed_delivery_changes_nothing(opener: &dyn Opener) {
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

pub async fn outcomes_survive_a_restart(opener: &dyn Opener) {
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

pub async fn a_closed_queue_refuses_every_call(opener: &dyn Opener) {
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
