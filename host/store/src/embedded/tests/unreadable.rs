//! What cannot be read becomes a dead letter, at a claim, a move, a drop, a skip or a replay. Everything
//! around it goes on.

use std::sync::Arc;
use std::time::Duration;

use dispatcher_model::{EventId, TargetNumber};

use crate::contract::*;
use crate::embedded::Embedded;
use crate::embedded::format::frame::HEADER_BYTES;
use crate::embedded::tests::support::{Folder, deliver_all, flip, large, offset_of, one_by_one};
use crate::{Depth, Hold, HoldKind, Outcome, Queue, StoreError};

/// Where a bit of a frame is flipped: in its header, in its length, which leads astray, and in its payload.
const PLACES: [u64; 3] = [17, 9, HEADER_BYTES as u64 + 9];

/// A store whose targets `a` and `b` have read nothing, and five events for `a`. It reads the log from its file.
async fn five() -> (Folder, Arc<Embedded>, [TargetNumber; 2], Vec<EventId>) {
    let folder = Folder::new();
    let store = folder.store();
    let [a, b] = register(&*store, &["a", "b"]).await[..] else { panic!() };
    let ids = one_by_one(&store, 5, &[a]).await;
    store.close().await.unwrap();
    drop(store);
    let store = folder.store();
    (folder, store, [a, b], ids)
}

/// The dead letters of a target: number of events, number of the first, reason.
async fn letters(store: &Embedded, target: TargetNumber) -> Vec<(u64, u64, String)> {
    store.flush().await.unwrap();
    let letters = store.dead_letters(target, None, 99).await.unwrap();
    letters.into_iter().map(|l| (l.count, l.event.number(), l.reason)).collect()
}

async fn lost_alone(store: &Embedded, target: TargetNumber, lost: EventId) {
    let dead = letters(store, target).await;
    let [(1, number, reason)] = &dead[..] else { panic!("{dead:?}") };
    assert_eq!(*number, lost.number());
    assert!(reason.starts_with("the log is damaged at byte "), "{reason}");
}

#[tokio::test]
async fn a_move_makes_a_dead_letter_of_what_it_cannot_read() {
    for lost in 0..5 {
        let (folder, store, [a, b], ids) = five().await;
        flip(&folder.segments()[0], offset_of(ids[lost]) + PLACES[lost % 3]);
        assert_eq!(store.move_waiting(a, b, "moved".into()).await.unwrap(), 4);
        assert_eq!(claimable(&*store, b).await.len(), 4, "{lost}");
        lost_alone(&store, a, ids[lost]).await;
        assert!(store.damage().is_some());
        assert_eq!(store.depth(a), Depth { dead: 1, ..Depth::default() });
        drop(store);
        lost_alone(&folder.store(), a, ids[lost]).await;
    }
}

#[tokio::test]
async fn a_drop_and_a_skip_make_a_dead_letter_of_what_they_cannot_read() {
    for lost in 0..5 {
        let (folder, store, [a, _], ids) = five().await;
        flip(&folder.segments()[0], offset_of(ids[lost]) + PLACES[lost % 3]);
        assert_eq!(store.drop_waiting(a, None, "dropped".into()).await.unwrap(), 4);
        assert!(claimable(&*store, a).await.is_empty());
        lost_alone(&store, a, ids[lost]).await;

        let (folder, store, [a, _], ids) = five().await;
        flip(&folder.segments()[0], offset_of(ids[lost]) + PLACES[lost % 3]);
        let later = now().plus(HOUR);
        assert_eq!(store.skip(a, later, "skipped".into()).await.unwrap(), 5);
        let dead = letters(&store, a).await;
        assert_eq!(dead.iter().map(|(count, ..)| count).sum::<u64>(), 5, "{dead:?}");
        assert_eq!(dead.iter().filter(|letter| letter.2.contains("is damaged at")).count(), 1);
        assert!(claimable(&*store, a).await.is_empty());
    }
}

#[tokio::test]
async fn an_expiry_leaves_what_cannot_be_read_before_younger_events() {
    let (folder, store, [a, _], ids) = five().await;
    flip(&folder.segments()[0], offset_of(ids[0]) + PLACES[0]);
    let earlier = ids[0].received_at();
    assert_eq!(store.expire(a, earlier, "old".into()).await.unwrap(), 0);
    assert!(letters(&store, a).await.is_empty());
    assert_eq!(store.expire(a, now().plus(HOUR), "old".into()).await.unwrap(), 5);
}

#[tokio::test]
async fn a_replay_of_a_range_leaves_what_it_cannot_read() {
    for lost in 1..5 {
        let (folder, store, [a, _], ids) = five().await;
        let later = now().plus(HOUR);
        assert_eq!(store.skip(a, later, "skipped".into()).await.unwrap(), 5);
        flip(&folder.segments()[0], offset_of(ids[lost]) + PLACES[lost % 3]);
        assert_eq!(store.replay(a, vec![ids[0]]).await.unwrap(), 4, "{lost}");
        lost_alone(&store, a, ids[lost]).await;
        assert!(store.damage().is_some());
        assert_eq!(store.depth(a).dead, 1);
        assert_eq!(claimable(&*store, a).await.len(), 4);
        assert_eq!(store.replay(a, vec![ids[lost]]).await.unwrap(), 0);
    }
}

/// A released delivery, a retry and a new one of a segment that can no longer be read, and later ones.
#[tokio::test]
async fn a_released_delivery_whose_segment_is_gone_does_not_stop_the_others() {
    let folder = Folder::new();
    let store = folder.store();
    let [a, b] = register(&*store, &["a", "b"]).await[..] else { panic!() };
    let mut ids = append(&*store, vec![planned("0", &[a, b]), planned("1", &[a, b])]).await;
    for i in 0..8 {
        let events = (0..50).map(|j| planned(large(&format!("{i}.{j}")), &[])).collect();
        append(&*store, events).await;
    }
    ids.extend(append(&*store, vec![planned("2", &[a, b])]).await);
    store.close().await.unwrap();
    drop(store);
    let store = folder.store();
    for target in [a, b] {
        let two = claim(&*store, target, 2).await;
        settle(&*store, target, &two[..1], crate::Outcome::Release).await;
        settle(&*store, target, &two[1..], retry(now())).await;
    }
    store.flush().await.unwrap();
    std::fs::remove_file(&folder.segments()[0]).unwrap();
    let third = tokio::time::timeout(Duration::from_secs(5), claim(&*store, a, 1)).await;
    assert_eq!(texts(&third.expect("the others go on")), ["2"]);
    let claiming = tokio::time::timeout(Duration::from_secs(40), async {
        while store.depth(a).dead < 2 {
            let claim = store.claim(a, 1, HOUR);
            let _ = tokio::time::timeout(Duration::from_millis(500), claim).await;
        }
    });
    let ended = claiming.await;
    assert!(ended.is_ok(), "{:?}", (store.depth(a), letters(&store, a).await));
    let dead = letters(&store, a).await;
    let numbers: Vec<u64> = dead.iter().map(|letter| letter.1).collect();
    assert_eq!(numbers, [ids[0].number(), ids[1].number()]);
    let file = "seg-0000000000000000.log can no longer be read";
    assert!(dead.iter().all(|letter| letter.2.contains(file)), "{dead:?}");
}

#[tokio::test]
async fn a_drop_of_events_says_which_it_cannot_read_and_they_become_dead_letters() {
    for lost in 0..5 {
        let (folder, store, [a, b], ids) = five().await;
        flip(&folder.segments()[0], offset_of(ids[lost]) + PLACES[lost % 3]);
        let refused = store.drop_waiting(a, Some(ids.clone()), "dropped".into()).await.unwrap_err();
        let StoreError::NotDropped { dropped, unreadable } = &refused else { panic!("{refused}") };
        assert_eq!((*dropped, unreadable), (4, &vec![ids[lost]]), "{refused}");
        let text = refused.to_string();
        assert!(
            text.starts_with("4 deliveries were dropped; ")
                && text.contains(&ids[lost].to_string())
        );
        let unread = store.fate(ids[lost]).await.unwrap_err();
        assert!(matches!(unread, StoreError::Unreadable { id, .. } if id == ids[lost]), "{unread}");
        // An event that never was is not a damaged one.
        let number = ids[lost].number();
        for never in [number + 1, number + 999 * 1_024, number + 1_024 * 1_024] {
            let never = EventId::new(ids[lost].received_at(), ids[lost].store(), never);
            let fate = store.fate(never).await;
            assert!(matches!(fate, Ok(None) | Err(StoreError::Unreadable { .. })), "{fate:?}");
        }
        let other = EventId::new(ids[lost].received_at(), !ids[lost].store(), number);
        assert!(store.fate(other).await.unwrap().is_none());
        assert_eq!(store.drop_waiting(b, Some(vec![other]), "none".into()).await.unwrap(), 0);
        assert_eq!(deliver_all(&store, a).await, 0);
        lost_alone(&store, a, ids[lost]).await;
        assert_eq!(store.depth(a), Depth { dead: 1, ..Depth::default() });
    }
}

/// A row says whose it is, so its event need not be read.
#[tokio::test]
async fn a_retry_whose_event_cannot_be_read_is_dropped() {
    let (folder, store, [a, _], ids) = five().await;
    let two = claim(&*store, a, 2).await;
    settle(&*store, a, &two, retry(now().plus(HOUR))).await;
    store.flush().await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let store = folder.store();
    flip(&folder.segments()[0], offset_of(ids[1]) + PLACES[1]);
    assert_eq!(store.drop_waiting(a, Some(ids), "dropped".into()).await.unwrap(), 5);
    assert_eq!(store.depth(a), Depth::default());
}

/// Two events of the damaged request are claimed, one of them or both again after a retry: what is lost of it must not
/// have the number of either, since both get letters of their own.
#[tokio::test]
async fn a_place_and_the_events_of_it_that_died_alone_have_letters_of_their_own() {
    for first_tried in [0, 1] {
        let folder = Folder::new();
        let store = folder.store();
        let a = register(&*store, &["a"]).await[0];
        let ids = append(&*store, (0..4).map(|i| planned(i.to_string(), &[a])).collect()).await;
        append(&*store, vec![planned("later", &[a])]).await;
        store.close().await.unwrap();
        drop(store);
        let store = folder.store();
        let claimed = claim(&*store, a, 2).await;
        let (kept, tried) = claimed.split_at(first_tried);
        settle(&*store, a, tried, retry(now())).await;
        store.flush().await.unwrap();
        let tried_again = claim(&*store, a, tried.len()).await;
        assert_eq!(texts(&tried_again), texts(tried));
        // Lets it read the place again.
        let pause = Hold { kind: HoldKind::Paused, reason: "a pause".into(), since: now() };
        for hold in [Some(pause), None] {
            store.hold(a, hold).await.unwrap();
        }
        flip(&folder.segments()[0], offset_of(ids[0]) + PLACES[2]);
        assert_eq!(texts(&claim(&*store, a, 1).await), ["later"]);
        for died in [kept, &tried_again] {
            settle(&*store, a, died, Outcome::Dead { reason: "rejected".into() }).await;
        }
        let dead = letters(&store, a).await;
        let mut counts: Vec<u64> = dead.iter().map(|(count, ..)| *count).collect();
        counts.sort_unstable();
        assert_eq!((counts, store.depth(a).dead), (vec![1, 1, 2], 4), "{dead:?}");
        assert_eq!(store.drop_dead(a, ids[..2].to_vec()).await.unwrap(), 2);
        assert_eq!(store.depth(a).dead, 2);
    }
}

/// How many a place had is not known while a later one cannot be read either, so it counts as one: also if more of it can
/// be read again.
#[tokio::test]
async fn a_place_that_counts_as_one_is_not_listed_once_one_of_it_is_replayed() {
    let folder = Folder::new();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    let pair = |name: &str| ["0", "1"].map(|i| planned(format!("{name}{i}"), &[a])).to_vec();
    let first = append(&*store, pair("first")).await;
    let second = append(&*store, pair("second")).await;
    store.close().await.unwrap();
    drop(store);
    let store = folder.store();
    for ids in [&first, &second] {
        flip(&folder.segments()[0], offset_of(ids[0]) + PLACES[2]);
    }
    append(&*store, vec![planned("later", &[a])]).await;
    let later = claim(&*store, a, 1).await;
    settle(&*store, a, &later, delivered()).await;
    store.flush().await.unwrap();
    assert_eq!(store.depth(a).dead, 4);
    flip(&folder.segments()[0], offset_of(first[0]) + PLACES[2]);
    assert_eq!(store.replay(a, vec![first[1]]).await.unwrap(), 1);
    store.flush().await.unwrap();
    let listed = store.dead_letters(a, None, 9).await.unwrap();
    assert_eq!(listed.iter().map(|letter| letter.count).collect::<Vec<_>>(), [3], "{listed:?}");
    assert_eq!(store.depth(a).dead, 3);
}
