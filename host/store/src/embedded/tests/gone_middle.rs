//! Files that are gone from the middle of the log, with the index or without: what later records say of their content
//! still counts, and the rest becomes dead letters.

use std::time::Duration;

use crate::contract::*;
use crate::embedded::{Embedded, OpenError};
use crate::{Depth, Queue};
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
