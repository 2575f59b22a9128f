//! Files that are gone from the middle of the log, with the index or without: what later records say of their content
//! still counts, and the rest becomes dead letters.

use std::time::Duration;

use crate::contract::*;
use crate::embedded::core::inbox::{Command, LostRows};
use crate::embedded::index::queries::Queries as _;
use crate::embedded::index::rows::{Batch, Index, Space};
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
            let named =
                matches!(&refused, OpenError::Missing { segment } if *segment == segments[gone[0]]);
            assert!(named, "{what}: {refused}");
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
            let letters = store.dead_letters(a, None, 99).await.unwrap();
            // The retry is one of them if what recorded it is lost as well.
            let (retries, places): (Vec<_>, Vec<_>) =
                letters.iter().partition(|letter| letter.reason.contains("to be tried again"));
            let sum = |letters: &[&crate::DeadLetter]| letters.iter().map(|l| l.count).sum::<u64>();
            assert_eq!(sum(&places), lost, "{what}: {letters:?}");
            assert_eq!(depth.dead, lost + sum(&retries), "{what}: {letters:?}");
            assert!(sum(&retries) <= 1, "{what}: {letters:?}");
            // Only the last of several places knows how many were lost in all.
            let known = places.iter().filter(|letter| !letter.reason.contains("is not known"));
            assert_eq!(known.count(), 1, "{what}: {letters:?}");
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

/// The records of several targets may be durable one after the other, with the end of the process between them.
#[tokio::test]
async fn an_index_is_whole_only_with_the_last_record_of_lost_rows() {
    let folder = Folder::new();
    let store = folder.store();
    let both = register(&*store, &["a", "b"]).await;
    append(&*store, vec![planned("1", &both)]).await;
    for target in &both {
        let some = claim(&*store, *target, 1).await;
        settle(&*store, *target, &some, retry(now().plus(Duration::from_secs(9_999)))).await;
    }
    store.caught_up().await.unwrap();
    let lost = |index: &dyn Index| {
        let mut batch = Batch::mark(true);
        let rows = index.scan(Space::Retry, &[], 9)?;
        batch.rows.extend(rows.into_iter().map(|(key, _)| ((Space::Retry, key), None)));
        index.commit(batch)
    };
    store.shared.with_index(lost).unwrap();
    for (target, is_last) in [(both[0], false), (both[1], true)] {
        let lost = LostRows { target, retries: 1, letters: 0 };
        store.shared.post(Command::LoseRows(vec![lost]));
        store.flush().await.unwrap();
        store.caught_up().await.unwrap();
        let unfinished = store.shared.with_index(|index| index.is_unfinished()).unwrap();
        assert_eq!(unfinished, !is_last, "{target:?}");
    }
}
