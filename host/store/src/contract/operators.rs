//! What operators do: hold, expire, skip, replay and drop; and what they are shown.

use crate::{Depth, Fate, Hold, HoldKind, Outcome, Queue};
use dispatcher_model::{EventId, Receipt, TargetNumber, Timestamp, Unrouted};

use super::kit::*;

/// Checks that a claim of `target` waits.
async fn has_nothing_to_claim(queue: &dyn Queue, target: TargetNumber) {
    let mut waiting = Box::pin(queue.claim(target, 5, HOUR));
    assert!(poll_once(&mut waiting).await.is_none());
}

pub async fn expired_deliveries_become_one_dead_letter(opener: &dyn Opener) {
    let queue = opener.open();
    let a = register(&*queue, &["a"]).await[0];
    let mut ids = Vec::new();
    for i in 0..10u64 {
        let mut request = request(vec![planned(i.to_string(), &[a])]);
        request.received_at = Timestamp::from_millis(1_000 + i);
        ids.extend(queue.append(request).await.unwrap().ids().to_vec());
    }
    // 0 is claimed, 1 released, 2 waits for a retry, 3 is delivered; 4 to 6 were never tried.
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

pub async fn a_held_target_delivers_nothing_until_resumed(opener: &dyn Opener) {
    let mut queue = opener.open();
    let [a, b] = register(&*queue, &["a", "b"]).await[..] else { panic!() };
    append(&*queue, vec![planned("1", &[a, b]), planned("2", &[a])]).await;
    let first = claim(&*queue, a, 1).await;
    let hold = Hold { kind: HoldKind::Broken, reason: "no account".into(), since: now() };
    queue.hold(a, Some(hold.clone())).await.unwrap();
    // A delivery that is in progress can still be settled.
    settle(&*queue, a, &first, retry(now())).await;
    append(&*queue, vec![planned("3", &[a])]).await;
    for _ in 0..2 {
        assert_eq!((queue.held(a), queue.held(b)), (Some(hold.clone()), None));
        has_nothing_to_claim(&*queue, a).await;
        assert_eq!(texts(&claim(&*queue, b, 1).await), ["1"]);
        assert_eq!(queue.depth(a).pending, 3);
        queue.close().await.unwrap();
        drop(queue);
        queue = opener.open();
    }
    let mut waiting = Box::pin(queue.claim(a, 5, HOUR));
    assert!(poll_once(&mut waiting).await.is_none());
    queue.hold(a, None).await.unwrap();
    assert_eq!(queue.held(a), None);
    let mut all = texts(&waiting.await.unwrap());
    while all.len() < 3 {
        all.extend(texts(&queue.claim(a, 5, HOUR).await.unwrap()));
    }
    all.sort();
    assert_eq!(all, ["1", "2", "3"]);
}

pub async fn a_target_held_as_broken_is_probed_with_what_was_never_tried(opener: &dyn Opener) {
    let queue = opener.open();
    let a = register(&*queue, &["a"]).await[0];
    append(&*queue, (0..4).map(|i| planned(i.to_string(), &[a])).collect()).await;
    let first = claim(&*queue, a, 1).await;
    settle(&*queue, a, &first, retry(now())).await;
    let hold = |kind| Some(Hold { kind, reason: String::new(), since: now() });
    queue.hold(a, hold(HoldKind::Paused)).await.unwrap();
    let mut waiting = Box::pin(queue.claim_untried(a, 5, HOUR));
    assert!(poll_once(&mut waiting).await.is_none());
    // A target that is found broken meanwhile stays paused.
    queue.hold(a, hold(HoldKind::Broken)).await.unwrap();
    assert!(queue.held(a).is_some_and(|hold| hold.kind == HoldKind::Paused));
    assert!(poll_once(&mut waiting).await.is_none());
    // Also one that is found to work.
    queue.let_go(a).await.unwrap();
    assert!(queue.held(a).is_some_and(|hold| hold.kind == HoldKind::Paused));
    queue.hold(a, None).await.unwrap();
    queue.hold(a, hold(HoldKind::Broken)).await.unwrap();
    queue.let_go(a).await.unwrap();
    assert_eq!(queue.held(a), None);
    queue.hold(a, hold(HoldKind::Broken)).await.unwrap();
    let probe = waiting.await.unwrap();
    assert_eq!(texts(&probe), ["1", "2", "3"]);
    has_nothing_to_claim(&*queue, a).await;
    // What is released can be claimed for the next probe.
    settle(&*queue, a, &probe[1..], Outcome::Release).await;
    assert_eq!(texts(&queue.claim_untried(a, 5, HOUR).await.unwrap()), ["2", "3"]);
    assert_eq!(queue.depth(a).pending, 4);
}

pub async fn a_dead_letter_can_be_replayed_or_dropped(opener: &dyn Opener) {
    let queue = opener.open();
    let a = register(&*queue, &["a"]).await[0];
    let ids = append(&*queue, (0..4).map(|i| planned(i.to_string(), &[a])).collect()).await;
    let all = claim(&*queue, a, 4).await;
    settle(&*queue, a, &all[..3], dead("no")).await;
    assert_eq!(queue.drop_dead(a, vec![ids[0], ids[0], ids[3]]).await.unwrap(), 1);
    assert_eq!(queue.replay(a, vec![ids[1], ids[1], ids[3]]).await.unwrap(), 1, "3 is claimed");
    assert_eq!(queue.replay(a, vec![ids[1]]).await.unwrap(), 0, "it waits already");
    assert_eq!(queue.depth(a), Depth { pending: 2, retrying: 1, in_flight: 1, dead: 1 });
    queue.close().await.unwrap();
    drop(queue);
    let queue = opener.open();
    assert_eq!(queue.dead_letters(a, None, 9).await.unwrap()[0].event, ids[2]);
    let again = claim(&*queue, a, 2).await;
    assert_eq!(texts(&again), ["1", "3"]);
    assert_eq!(
        (again[0].attempt, again[0].first_attempt_at),
        (1, None),
        "attempts start again at 1"
    );
    settle(&*queue, a, &again, delivered()).await;
    // Any stored event can be replayed, also to a target that it was not planned for.
    let b = register(&*queue, &["b"]).await[0];
    assert_eq!(queue.replay(b, vec![ids[0]]).await.unwrap(), 1);
    assert_eq!(queue.replay(a, vec![ids[1], EventId::new(now(), 0, 3)]).await.unwrap(), 1);
    assert_eq!(texts(&claim(&*queue, b, 1).await), ["0"]);
    assert_eq!(texts(&claim(&*queue, a, 1).await), ["1"]);
    assert!(claimable(&*queue, a).await.is_empty());
}

pub async fn a_range_of_dead_letters_is_replayed_whole_or_one_by_one(opener: &dyn Opener) {
    let queue = opener.open();
    let a = register(&*queue, &["a"]).await[0];
    let mut ids = Vec::new();
    for i in 0..8 {
        let events = (0..300).map(|j| planned(format!("{:04}", i * 300 + j), &[a])).collect();
        ids.extend(append(&*queue, events).await);
    }
    // The third is delivered out of order and the fourth is claimed: neither is given up.
    let some = claim(&*queue, a, 4).await;
    settle(&*queue, a, &some[2..3], delivered()).await;
    settle(&*queue, a, &some[..2], Outcome::Release).await;
    assert_eq!(queue.expire(a, now().plus(HOUR), "old".into()).await.unwrap(), 2_398);
    assert_eq!(queue.replay(a, vec![ids[7]]).await.unwrap(), 1);
    assert_eq!(queue.replay(a, vec![ids[2]]).await.unwrap(), 1, "the delivered one again");
    assert_eq!(queue.depth(a).dead, 2_397);
    let run = queue.dead_letters(a, None, 9).await.unwrap();
    assert_eq!((run.len(), run[0].event, run[0].count), (1, ids[0], 2_397));
    assert_eq!(queue.replay(a, vec![ids[0]]).await.unwrap(), 2_397);
    assert!(queue.dead_letters(a, None, 9).await.unwrap().is_empty());
    queue.close().await.unwrap();
    drop(queue);
    let queue = opener.open();
    assert_eq!(queue.depth(a), Depth { pending: 2_400, retrying: 2_399, ..Depth::default() });
    let mut all: Vec<_> = claim(&*queue, a, 2_400).await.iter().map(|d| d.event.id).collect();
    all.sort();
    assert_eq!(all, ids);
}

pub async fn skipping_gives_up_retries_too(opener: &dyn Opener) {
    let queue = opener.open();
    let a = register(&*queue, &["a"]).await[0];
    for i in 0..4u64 {
        let mut request = request(vec![planned(i.to_string(), &[a])]);
        request.received_at = Timestamp::from_millis(1_000 * (i + 1));
        queue.append(request).await.unwrap();
    }
    let some = claim(&*queue, a, 4).await;
    settle(&*queue, a, &[some[0].clone(), some[3].clone()], retry(now())).await;
    settle(&*queue, a, &some[1..3], Outcome::Release).await;
    let before = Timestamp::from_millis(2_500);
    assert_eq!(queue.skip(a, before, "not wanted".into()).await.unwrap(), 2);
    assert_eq!(queue.skip(a, before, "not wanted".into()).await.unwrap(), 0);
    queue.flush().await.unwrap();
    let letters = queue.dead_letters(a, None, 9).await.unwrap();
    assert_eq!(letters.iter().map(|l| l.attempts).collect::<Vec<_>>(), [1, 0]);
    assert!(letters.iter().all(|letter| letter.reason == "not wanted"));
    assert_eq!(queue.depth(a), Depth { pending: 2, retrying: 1, in_flight: 0, dead: 2 });
    let mut left = claimable(&*queue, a).await;
    left.sort();
    assert_eq!(left, ["2", "3"]);
}

/// Fates of the events at a target, in their order.
async fn fates(queue: &dyn Queue, target: TargetNumber, ids: &[EventId]) -> Vec<Fate> {
    let mut fates = Vec::new();
    for id in ids {
        let known = queue.fate(*id).await.unwrap().unwrap();
        let here = known.fates.into_iter().find(|(number, _)| *number == target);
        fates.push(here.unwrap().1);
    }
    fates
}

/// Five deliveries of a target: claimed, released, waiting for a retry, and two that were never claimed.
async fn five_waiting(queue: &dyn Queue, a: TargetNumber, b: TargetNumber) -> Vec<EventId> {
    let mut ids = append(queue, (0..4).map(|i| planned(i.to_string(), &[a])).collect()).await;
    let some = claim(queue, a, 3).await;
    ids.extend(append(queue, vec![planned("4", &[a, b])]).await);
    settle(queue, a, &some[1..2], Outcome::Release).await;
    settle(queue, a, &some[2..3], retry(now().plus(HOUR))).await;
    ids
}

pub async fn what_waits_can_be_dropped_one_by_one(opener: &dyn Opener) {
    let queue = opener.open();
    let [a, b] = register(&*queue, &["a", "b"]).await[..] else { panic!() };
    let ids = five_waiting(&*queue, a, b).await;
    let some = vec![ids[0], ids[2], ids[4], ids[4], EventId::new(now(), 0, 3)];
    let drop = |ids| queue.drop_waiting(a, Some(ids), "not wanted".into());
    assert_eq!(drop(some.clone()).await.unwrap(), 2, "0 is claimed");
    assert_eq!(drop(some).await.unwrap(), 0);
    assert_eq!(drop(vec![ids[1]]).await.unwrap(), 1, "1 was released");
    assert_eq!(queue.depth(a), Depth { pending: 2, retrying: 0, in_flight: 1, dead: 0 });
    queue.close().await.unwrap();
    drop_queue(queue);
    let queue = opener.open();
    assert_eq!(queue.depth(a), Depth { pending: 2, ..Depth::default() });
    assert_eq!(claimable(&*queue, a).await, ["0", "3"]);
    assert_eq!(claimable(&*queue, b).await, ["4"], "the other target keeps its delivery");
    for (fate, tried) in fates(&*queue, a, &[ids[1], ids[2], ids[4]]).await.iter().zip([0, 1, 0]) {
        let Fate::Dead { attempts, reason, dropped: true, .. } = fate else { panic!("{fate:?}") };
        assert_eq!((*attempts, reason.as_str()), (tried, "not wanted"));
    }
    // It can come back.
    assert_eq!(queue.replay(a, vec![ids[4]]).await.unwrap(), 1);
    assert_eq!(texts(&claim(&*queue, a, 1).await), ["4"]);
}

fn drop_queue(queue: std::sync::Arc<dyn Queue>) {
    drop(queue);
}

pub async fn all_that_waits_can_be_dropped(opener: &dyn Opener) {
    let queue = opener.open();
    let [a, b] = register(&*queue, &["a", "b"]).await[..] else { panic!() };
    let ids = five_waiting(&*queue, a, b).await;
    assert_eq!(queue.drop_waiting(a, None, "not wanted".into()).await.unwrap(), 4);
    assert_eq!(queue.drop_waiting(a, None, "not wanted".into()).await.unwrap(), 0);
    assert_eq!(queue.depth(a), Depth { pending: 1, retrying: 0, in_flight: 1, dead: 0 });
    queue.close().await.unwrap();
    drop_queue(queue);
    let queue = opener.open();
    assert_eq!(claimable(&*queue, a).await, ["0"]);
    for fate in fates(&*queue, a, &ids[1..]).await {
        assert!(matches!(fate, Fate::Dead { dropped: true, .. }), "{fate:?}");
    }
    assert!(queue.dead_letters(a, None, 9).await.unwrap().is_empty());
}

pub async fn what_waits_can_be_moved_to_another_target(opener: &dyn Opener) {
    let queue = opener.open();
    let [a, b] = register(&*queue, &["a", "b"]).await[..] else { panic!() };
    let ids = five_waiting(&*queue, a, b).await;
    let moved = || queue.move_waiting(a, b, "moved to target b".into());
    assert_eq!(moved().await.unwrap(), 4);
    assert_eq!(moved().await.unwrap(), 0);
    assert_eq!(queue.move_waiting(a, a, String::new()).await.unwrap(), 0);
    assert_eq!(queue.depth(a), Depth { pending: 1, retrying: 0, in_flight: 1, dead: 0 });
    assert_eq!(queue.depth(b).pending, 4, "4 was its own already");
    queue.close().await.unwrap();
    drop_queue(queue);
    let queue = opener.open();
    let mut all = claimable(&*queue, b).await;
    all.sort();
    assert_eq!(all, ["1", "2", "3", "4"]);
    assert_eq!(claimable(&*queue, a).await, ["0"]);
    for fate in fates(&*queue, a, &ids[1..]).await {
        let Fate::Dead { reason, dropped: true, .. } = fate else { panic!("{fate:?}") };
        assert_eq!(reason, "moved to target b");
    }
    // And back: what was moved away counts as unknown there.
    queue.close().await.unwrap();
    drop_queue(queue);
    let queue = opener.open();
    assert!(queue.move_waiting(b, a, "moved to target a".into()).await.unwrap() >= 4);
    let waiting = usize::try_from(queue.depth(a).pending).unwrap();
    let mut back = texts(&claim(&*queue, a, waiting).await);
    back.sort();
    back.retain(|text| text != "the end");
    assert_eq!(back, ["0", "1", "2", "3", "4"]);
}

pub async fn many_deliveries_are_moved_in_order_and_once(opener: &dyn Opener) {
    let queue = opener.open();
    let [a, b] = register(&*queue, &["a", "b"]).await[..] else { panic!() };
    let mut ids = Vec::new();
    for i in 0..9 {
        let events = (0..300).map(|j| planned(format!("{:04}", i * 300 + j), &[a])).collect();
        ids.extend(append(&*queue, events).await);
    }
    assert_eq!(queue.move_waiting(a, b, "moved".into()).await.unwrap(), 2_700);
    queue.close().await.unwrap();
    drop_queue(queue);
    let queue = opener.open();
    assert_eq!(queue.depth(a), Depth::default());
    assert_eq!(queue.depth(b), Depth { pending: 2_700, retrying: 2_700, ..Depth::default() });
    let mut all: Vec<_> = claim(&*queue, b, 2_700).await.iter().map(|d| d.event.id).collect();
    all.sort();
    assert_eq!(all, ids);
    assert!(claimable(&*queue, a).await.is_empty());
}

pub async fn every_target_of_the_store_has_its_name(opener: &dyn Opener) {
    let queue = opener.open();
    let numbers = register(&*queue, &["a", "b"]).await;
    let named = queue.targets();
    let names: Vec<_> = named.iter().map(|(number, name)| (*number, &**name)).collect();
    assert_eq!(names, [(numbers[0], "a"), (numbers[1], "b")]);
}

pub async fn fate_reports_every_target_of_an_event(opener: &dyn Opener) {
    let queue = opener.open();
    let [a, b] = register(&*queue, &["a", "b"]).await[..] else { panic!() };
    let names = ["plain", "receipt", "retry", "dead", "dropped", "again", "waits"];
    let mut events: Vec<_> = names.iter().map(|name| planned(*name, &[a])).collect();
    let mut unrouted = planned("unrouted", &[]);
    unrouted.unrouted = vec![Unrouted { target: "b".into(), reason: "so".into() }];
    events.push(unrouted);
    let ids = append(&*queue, events).await;
    let all = claim(&*queue, a, 7).await;
    let receipt = Receipt { id: Some("SM1".into()), fields: Vec::new() };
    let due = now().plus(HOUR);
    settle(&*queue, a, &all[..1], delivered()).await;
    settle(&*queue, a, &all[1..2], Outcome::Delivered { receipt: receipt.clone() }).await;
    settle(&*queue, a, &all[2..3], retry(due)).await;
    settle(&*queue, a, &all[3..6], dead("no")).await;
    // For a digest.
    settle(&*queue, a, &all[6..], Outcome::Wait { until: due }).await;
    queue.drop_dead(a, vec![ids[4]]).await.unwrap();
    let before = now();
    queue.replay(a, vec![ids[5]]).await.unwrap();
    let mut fates = Vec::new();
    for id in &ids {
        let known = queue.fate(*id).await.unwrap().unwrap();
        assert_eq!((known.event.id, known.scheme.as_str(), known.key), (*id, "sqreen", 0));
        fates.push(known.fates.into_iter().map(|(_, fate)| fate).collect::<Vec<_>>());
    }
    let of = |place: usize| fates[place][usize::from(a.0)].clone();
    let plain = Fate::Delivered { receipt: Receipt::default(), attempts: 1, at: None };
    assert_eq!(of(0), plain);
    assert!(matches!(of(1), Fate::Delivered { receipt: r, at: Some(_), .. } if r == receipt));
    assert_eq!(of(2), Fate::Retrying { attempts: 1, at: due, reason: "later".into() });
    for (place, gone) in [(3, false), (4, true)] {
        assert!(matches!(of(place), Fate::Dead { dropped, attempts: 1, .. } if dropped == gone));
    }
    let Fate::Again { since, due } = of(5) else { panic!("{:?}", of(5)) };
    assert_eq!((since, since >= before && since <= now()), (due, true), "{since}");
    assert_eq!(of(6), Fate::Waiting);
    assert_eq!(fates[7][usize::from(b.0)], Fate::NotRouted { reason: "so".into() });
    assert_eq!(fates[0][usize::from(b.0)], Fate::NotRouted { reason: String::new() });
    assert!(queue.fate(EventId::new(now(), 0, 7)).await.unwrap().is_none());
    assert_eq!(queue.recent(2).iter().map(|e| e.id).collect::<Vec<_>>(), [ids[7], ids[6]]);
}
