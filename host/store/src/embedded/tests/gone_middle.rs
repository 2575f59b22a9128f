//! Files that are gone from the middle of the log, with the index or without: what later records say of their content
//! still counts, and the rest becomes dead letters.

use std::time::Duration;

use crate::contract::*;
use crate::embedded::{Embedded, OpenError};
use crate::{Depth, Hold, HoldKind, Outcome, Queue};
use dispatcher_model::TargetNumber;

use crate::embedded::tests::gone_beginning::{check, repair, stored};
use crate::embedded::tests::support::{Folder, deliver_all, dump, large, offset_of};

#[tokio::test]
async fn middle_segments_that_are_gone_are_counted_and_nothing_waits_for_them() {
    let (whole, ids) = stored(6).await;
    for gone in [&[1][..], &[3], &[4], &[1, 2], &[2, 4], &[1, 2, 3, 4]] {
        for index in ["kept", "lost"] {
            let what = format!("{gone:?} gone, the index is {index}");
            let folder = whole.copy();
            let segments = folder.segments();
            gone.iter().for_each(|place| std::fs::remove_file(&segments[*place]).unwrap());
            if index == "lost" {
                folder.delete_index();
            }
            let refused = Embedded::open(folder.settings()).unwrap_err();
            assert!(matches!(refused, OpenError::Corrupt { .. }), "{what}: {refused}");
            let after = repair(&folder, Vec::new()).after.unwrap();
            assert!(after.is_clean(), "{what}: {after:?}");
            let store = folder.store();
            let [a, b] = [0, 1].map(TargetNumber);
            deliver_all(&store, a).await;
            let is_gone = |id: &&dispatcher_model::EventId| {
                gone.iter().any(|place| offset_of(**id) >> 20 == *place as u64)
            };
            let lost = ids.iter().filter(is_gone).count() as u64;
            let depth = store.depth(a);
            assert_eq!((depth.pending, depth.retrying), (0, 0), "{what}");
            assert!((1..=lost).contains(&depth.dead), "{what}: {depth:?} of {lost}");
            let letters = store.dead_letters(a, None, 99).await.unwrap();
            assert_eq!(letters.iter().map(|letter| letter.count).sum::<u64>(), depth.dead);
            let unknown = letters.iter().any(|letter| letter.reason.contains("is not known"));
            assert!(unknown || depth.dead == lost, "{what}: {letters:?}");
            assert_eq!(store.depth(b), Depth::default(), "{what}: it has taken everything");
            store.close().await.unwrap();
            drop(store);
            let store = folder.store();
            assert_eq!((store.depth(a), store.depth(b)), (depth, Depth::default()), "{what}");
        }
    }
}

/// Only the lost segment recorded that the delivery is to be tried again.
#[tokio::test]
async fn a_retry_that_a_lost_segment_recorded_is_not_forgotten() {
    let whole = Folder::new();
    let store = whole.store();
    let a = register(&*store, &["a"]).await[0];
    let fill = async |segments: usize| {
        while whole.segments().len() < segments {
            append(&*store, (0..20).map(|i| planned(large(&i.to_string()), &[a])).collect()).await;
            deliver_all(&store, a).await;
        }
    };
    let ids = append(&*store, vec![planned("first", &[a])]).await;
    let first = claim(&*store, a, 1).await;
    fill(2).await;
    let in_an_hour = now().plus(Duration::from_secs(3_600));
    settle(&*store, a, &first, retry(in_an_hour)).await;
    fill(5).await;
    store.close().await.unwrap();
    drop(store);
    assert!(offset_of(ids[0]) < 1 << 20);
    std::fs::remove_file(&whole.segments()[1]).unwrap();
    for index in ["kept", "lost"] {
        let folder = whole.copy();
        if index == "lost" {
            folder.delete_index();
        }
        assert!(repair(&folder, Vec::new()).after.unwrap().is_clean());
        let store = folder.store();
        deliver_all(&store, a).await;
        let (one, nothing) = (1, 0);
        let (retrying, dead) = if index == "kept" { (one, nothing) } else { (nothing, one) };
        let depth = Depth { pending: retrying, retrying, dead, ..Depth::default() };
        assert_eq!(store.depth(a), depth, "the index is {index}");
        let kept = dump(&store);
        store.close().await.unwrap();
        drop(store);
        assert!(check(&folder).is_clean());
        if index == "lost" {
            folder.delete_index();
            let store = folder.store();
            store.flush().await.unwrap();
            assert_eq!((store.depth(a), dump(&store)), (depth, kept));
        }
    }
}

/// A store that was closed, with so many files: the one that is removed has what `middle` did for `a`, which has no more
/// in the later ones than `begin` left.
async fn without_the_middle<T>(
    begin: impl AsyncFnOnce(&Embedded, TargetNumber) -> T,
    middle: impl AsyncFnOnce(&Embedded, TargetNumber, T),
) -> Folder {
    with_an_end(begin, middle, async |_, _| {}).await
}

/// The same, with what `end` did in the third file.
async fn with_an_end<T>(
    begin: impl AsyncFnOnce(&Embedded, TargetNumber) -> T,
    middle: impl AsyncFnOnce(&Embedded, TargetNumber, T),
    end: impl AsyncFnOnce(&Embedded, TargetNumber),
) -> Folder {
    let folder = Folder::new();
    let store = folder.store();
    let [a, b] = register(&*store, &["a", "b"]).await[..] else { panic!() };
    let fill = async |segments: usize| {
        while folder.segments().len() < segments {
            append(&*store, (0..20).map(|i| planned(large(&i.to_string()), &[b])).collect()).await;
            deliver_all(&store, b).await;
        }
    };
    let begun = begin(&store, a).await;
    fill(2).await;
    middle(&store, a, begun).await;
    fill(3).await;
    end(&store, a).await;
    fill(4).await;
    store.close().await.unwrap();
    drop(store);
    std::fs::remove_file(&folder.segments()[1]).unwrap();
    folder.delete_index();
    assert!(repair(&folder, Vec::new()).after.unwrap().is_clean());
    folder
}

#[tokio::test]
async fn a_pause_and_a_resume_that_a_lost_segment_recorded_still_count() {
    for pauses in [true, false] {
        let hold = |pauses: bool| {
            let (kind, reason) = (HoldKind::Paused, "a pause".into());
            pauses.then(|| Hold { kind, reason, since: now() })
        };
        let folder = without_the_middle(
            async |store, a| {
                append(store, vec![planned("open", &[a])]).await;
                store.hold(a, hold(!pauses)).await.unwrap();
            },
            async |store, a, ()| store.hold(a, hold(pauses)).await.unwrap(),
        )
        .await;
        assert_eq!(folder.store().held(TargetNumber(0)).is_some(), pauses);
    }
}

/// The counts are as before: it also brought one.
#[tokio::test]
async fn what_a_lost_segment_delivered_is_not_delivered_again() {
    let folder = without_the_middle(
        async |store, a| {
            append(store, vec![planned("open", &[a]), planned("delivered", &[a])]).await;
            claim(store, a, 2).await.split_off(1)
        },
        async |store, a, one| {
            append(store, vec![planned("lost", &[a])]).await;
            settle(store, a, &one, delivered()).await;
        },
    )
    .await;
    let (store, a) = (folder.store(), TargetNumber(0));
    assert_eq!(deliver_all(&store, a).await, 1);
    assert_eq!(store.depth(a), Depth { dead: 1, ..Depth::default() });
}

#[tokio::test]
async fn a_retry_waits_on_though_another_one_is_made_twice() {
    let folder = without_the_middle(
        async |store, a| {
            append(store, vec![planned("x", &[a]), planned("y", &[a])]).await;
            let two = claim(store, a, 2).await;
            settle(store, a, &two, retry(now())).await;
            store.flush().await.unwrap();
        },
        async |store, a, ()| {
            let x = claim(store, a, 1).await;
            settle(store, a, &x, delivered()).await;
        },
    )
    .await;
    let (store, a) = (folder.store(), TargetNumber(0));
    let waiting = |n| Depth { pending: n, retrying: n, ..Depth::default() };
    assert_eq!(store.depth(a), waiting(2));
    let two = claim(&*store, a, 2).await;
    settle(&*store, a, &two[..1], delivered()).await;
    settle(&*store, a, &two[1..], retry(now())).await;
    store.close().await.unwrap();
    drop(store);
    let store = folder.store();
    assert_eq!(store.depth(a), waiting(1));
    assert_eq!(claimable(&*store, a).await, texts(&two[1..]));
}

/// Dead letters of the target as it is asked, which are as many as it has in all.
async fn letters(store: &Embedded, target: TargetNumber) -> u64 {
    store.flush().await.unwrap();
    let letters = store.dead_letters(target, None, 99).await.unwrap();
    let count = letters.iter().map(|letter| letter.count).sum::<u64>();
    assert_eq!(store.depth(target).dead, count, "{letters:?}");
    count
}

/// The counts are as before: one retry ended, and another one was made.
#[tokio::test]
async fn a_retry_that_a_lost_segment_recorded_is_a_dead_letter_though_it_also_ended_one() {
    let in_an_hour = now().plus(Duration::from_secs(3_600));
    let folder = without_the_middle(
        async |store, a| {
            append(store, vec![planned("x", &[a]), planned("z", &[a])]).await;
            let mut two = claim(store, a, 2).await;
            settle(store, a, &two[..1], retry(now())).await;
            store.flush().await.unwrap();
            two.split_off(1)
        },
        async |store, a, z| {
            let x = claim(store, a, 1).await;
            settle(store, a, &x, delivered()).await;
            settle(store, a, &z, retry(in_an_hour)).await;
        },
    )
    .await;
    let (store, a) = (folder.store(), TargetNumber(0));
    assert_eq!(letters(&store, a).await, 1);
    assert_eq!(store.depth(a), Depth { pending: 1, retrying: 1, dead: 1, ..Depth::default() });
    assert_eq!(claimable(&*store, a).await, ["x"]);
}

#[tokio::test]
async fn a_retry_waits_though_a_later_record_counts_another_one_away() {
    for replayed in [false, true] {
        let folder = with_an_end(
            async |store, a| {
                append(store, vec![planned("x", &[a]), planned("z", &[a])]).await;
                let mut two = claim(store, a, 2).await;
                settle(store, a, &two[..1], retry(now())).await;
                let z = two.split_off(1);
                if replayed {
                    let reason = "rejected".into();
                    settle(store, a, &z, Outcome::Dead { reason }).await;
                }
                store.flush().await.unwrap();
                z
            },
            async |store, a, z| {
                let x = claim(store, a, 1).await;
                settle(store, a, &x, delivered()).await;
                if replayed {
                    let z = z[0].event.id;
                    assert_eq!(store.replay(a, vec![z]).await.unwrap(), 1);
                } else {
                    settle(store, a, &z, retry(now())).await;
                }
                store.flush().await.unwrap();
            },
            async |store, a| {
                let z = claim(store, a, 1).await;
                assert_eq!(texts(&z), ["z"]);
                settle(store, a, &z, delivered()).await;
            },
        )
        .await;
        let (store, a) = (folder.store(), TargetNumber(0));
        // What replayed it is lost, so it is still listed.
        assert_eq!(letters(&store, a).await, u64::from(replayed));
        let one = Depth { pending: 1, retrying: 1, ..Depth::default() };
        assert_eq!(Depth { dead: 0, ..store.depth(a) }, one);
        store.close().await.unwrap();
        drop(store);
        let store = folder.store();
        assert_eq!(Depth { dead: 0, ..store.depth(a) }, one, "after another start");
        assert_eq!(claimable(&*store, a).await, ["x"]);
    }
}

#[tokio::test]
async fn dead_letters_of_a_lost_segment_are_listed_as_one() {
    let folder = without_the_middle(
        async |store, a| {
            append(store, vec![planned("x", &[a]), planned("y", &[a]), planned("z", &[a])]).await;
            let mut three = claim(store, a, 3).await;
            let reason = "rejected".to_owned();
            settle(store, a, &three[..1], Outcome::Dead { reason }).await;
            three.split_off(1)
        },
        async |store, a, two| {
            let reason = "rejected".to_owned();
            settle(store, a, &two, Outcome::Dead { reason }).await;
        },
    )
    .await;
    let (store, a) = (folder.store(), TargetNumber(0));
    assert_eq!(letters(&store, a).await, 3);
    let listed = store.dead_letters(a, None, 9).await.unwrap();
    let lost = listed.iter().find(|letter| letter.count == 2).unwrap();
    assert!(lost.reason.contains("a part of the log is lost"), "{}", lost.reason);
    let (lost, kept) = (lost.event, dump(&store));
    store.close().await.unwrap();
    drop(store);
    let store = folder.store();
    assert_eq!((letters(&store, a).await, dump(&store)), (3, kept));
    assert_eq!(store.replay(a, vec![lost]).await.unwrap(), 0, "there is nothing to read");
    assert_eq!(store.drop_dead(a, vec![lost]).await.unwrap(), 2);
    assert_eq!(letters(&store, a).await, 1);
}

#[tokio::test]
async fn dead_letters_of_a_lost_beginning_are_listed() {
    let folder = Folder::new();
    let store = folder.store();
    let [a, b] = register(&*store, &["a", "b"]).await[..] else { panic!() };
    append(&*store, vec![planned("x", &[a]), planned("y", &[a])]).await;
    let two = claim(&*store, a, 2).await;
    settle(&*store, a, &two, Outcome::Dead { reason: "rejected".into() }).await;
    while folder.segments().len() < 4 {
        append(&*store, (0..20).map(|i| planned(large(&i.to_string()), &[b])).collect()).await;
        deliver_all(&store, b).await;
    }
    store.close().await.unwrap();
    drop(store);
    std::fs::remove_file(&folder.segments()[0]).unwrap();
    folder.delete_index();
    assert!(repair(&folder, Vec::new()).after.unwrap().is_clean());
    for _ in 0..2 {
        let store = folder.store();
        assert_eq!(letters(&store, a).await, 2);
        store.close().await.unwrap();
    }
}
