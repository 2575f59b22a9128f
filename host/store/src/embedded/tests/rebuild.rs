//! A store without its index: what works from the log alone, what waits, and that the rebuilt index has
//! the rows of the one that was lost.

use std::sync::Arc;
use std::time::Duration;

use crate::contract::*;
use crate::embedded::Embedded;
use crate::embedded::format::frame::Kind;
use crate::embedded::format::segment_header::SEGMENT_HEADER_BYTES;
use crate::embedded::platform::locks::lock;
use crate::embedded::retention::retire::{Retention, Stepped};
use crate::embedded::simulation::hardware::memory_index::Rows;
use crate::{Depth, Queue};
use dispatcher_model::TargetNumber;

use crate::embedded::tests::gate::{gated, pass, whole};
use crate::embedded::tests::support::{Folder, dump, flip, large, offset_of, until};

fn unchecked(store: &Embedded) -> u64 {
    store.rebuilding().unwrap().unchecked
}

/// Appends until the log has so many segments; answers what was appended.
async fn fill(folder: &Folder, store: &Embedded, a: TargetNumber, segments: usize) -> Vec<String> {
    let mut all = Vec::new();
    while folder.segments().len() < segments {
        let texts: Vec<_> = (0..50).map(|i| large(&format!("{}.{i};", all.len()))).collect();
        append(store, texts.iter().map(|text| planned(text, &[a])).collect()).await;
        all.extend(texts);
    }
    all
}

/// `old`: delivered; `later`: due; `no`: dead; then two segments for `a`, of which some are delivered.
async fn loaded(folder: &Folder) -> (Arc<Embedded>, TargetNumber, Vec<String>) {
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    append(&*store, ["old", "later", "no"].map(|key| keyed(key, 0, &[a])).to_vec()).await;
    let first = claim(&*store, a, 3).await;
    settle(&*store, a, &first[..1], delivered()).await;
    settle(&*store, a, &first[1..2], retry(now())).await;
    settle(&*store, a, &first[2..], dead("no")).await;
    let mut texts = fill(folder, &store, a, 3).await;
    store.flush().await.unwrap();
    let some = claim(&*store, a, 101).await;
    settle(&*store, a, &some[1..], delivered()).await;
    // The retry was due, and is the first of them; it waits again.
    settle(&*store, a, &some[..1], retry(now())).await;
    store.flush().await.unwrap();
    texts.drain(..100);
    append(&*store, vec![keyed("new", 0, &[a])]).await;
    texts.push("new-0".into());
    (store, a, texts)
}

/// What a copy of the folder has in an index that is read before the store is open.
fn rebuilt_rows(folder: &Folder) -> Rows {
    let copy = folder.copy();
    copy.delete_index();
    dump(&copy.store())
}

#[tokio::test]
async fn without_an_index_new_events_are_delivered_and_retries_wait() {
    let folder = Folder::new();
    let (store, a, texts_left) = loaded(&folder).await;
    let depth = store.depth(a);
    store.close().await.unwrap();
    drop(store);
    folder.delete_index();
    let (store, gate) = gated(&folder);
    assert_eq!(store.depth(a), Depth { in_flight: 0, ..depth });
    assert_eq!(register(&*store, &["a", "b"]).await[0], a);
    append(&*store, vec![planned("meanwhile", &[a])]).await;
    let mut expected = texts_left.clone();
    expected.push("meanwhile".into());
    let new = claim(&*store, a, expected.len()).await;
    assert_eq!(texts(&new), expected);
    settle(&*store, a, &new[..9], delivered()).await;
    settle(&*store, a, &new[9..10], dead("not that")).await;
    store.flush().await.unwrap();
    // A call that needs the index reports what it waits for.
    for refused in [
        store.dead_letters(a, None, 9).await.unwrap_err(),
        store.fate(new[0].event.id).await.unwrap_err(),
        store.windows(a).await.unwrap_err(),
        store.replay(a, vec![new[9].event.id]).await.unwrap_err(),
    ] {
        assert!(refused.to_string().contains("the index is being rebuilt"), "{refused}");
    }
    assert_eq!(store.event(new[0].event.id).await.unwrap().unwrap().data, new[0].event.data);
    let mut retention = Retention::new(store.shared.clone());
    assert!(matches!(retention.step(&mut || {}), Stepped::Rest(Some(_))));

    let waits = store.shared.target(a.0).unwrap();
    assert_eq!(lock(&waits.live).low_water_ms, u64::MAX, "it is not asked again meanwhile");

    pass(&gate, &store).await;
    let letters = store.dead_letters(a, None, 9).await.unwrap();
    let reasons: Vec<_> = letters.iter().map(|letter| letter.reason.as_str()).collect();
    assert_eq!(reasons, ["no", "not that"]);
    let again = claim(&*store, a, 1).await;
    assert_eq!((texts(&again), again[0].attempt), (vec!["later-0".into()], 3));
    settle(&*store, a, &again, delivered()).await;
    settle(&*store, a, &new[10..], delivered()).await;
    store.flush().await.unwrap();
    let kept = dump(&store);
    store.close().await.unwrap();
    drop(store);
    assert_eq!(rebuilt_rows(&folder), kept);
    let store = folder.store();
    assert_eq!(store.depth(a), Depth { dead: 2, ..Depth::default() });
    assert!(claimable(&*store, a).await.is_empty());
}

#[tokio::test]
async fn without_an_index_recent_repetitions_are_known_and_others_counted() {
    let folder = Folder::new();
    let (store, a, _) = loaded(&folder).await;
    drop(store);
    folder.delete_index();
    let (store, gate) = gated(&folder);
    let duplicates = async |key: &str| {
        store.append(request(vec![keyed(key, 0, &[a])])).await.unwrap().duplicates()
    };
    assert_eq!((duplicates("new").await, unchecked(&store)), (1, 0), "in the newest segment");
    assert_eq!((duplicates("old").await, unchecked(&store)), (0, 1), "in an older one");
    assert_eq!((duplicates("old").await, unchecked(&store)), (1, 1), "since the start");
    append(&*store, vec![planned("without a key", &[a])]).await;
    assert_eq!(unchecked(&store), 1);
    pass(&gate, &store).await;
    for key in ["new", "old", "later"] {
        assert_eq!(duplicates(key).await, 1, "{key}");
    }
    assert_eq!(duplicates("other").await, 0);
}

#[tokio::test]
async fn an_index_that_fails_while_running_is_rebuilt() {
    let folder = Folder::new();
    let (store, gate) = gated(&folder);
    pass(&gate, &store).await;
    let a = register(&*store, &["a"]).await[0];
    append(&*store, vec![keyed("k", 0, &[a])]).await;
    gate.shut();
    store.shared.index.swap(None);
    append(&*store, vec![keyed("l", 0, &[a])]).await;
    until("it is noticed", || store.rebuilding().is_some()).await;
    append(&*store, vec![keyed("m", 0, &[a])]).await;
    assert_eq!(texts(&claim(&*store, a, 3).await), ["k-0", "l-0", "m-0"]);
    pass(&gate, &store).await;
    let again = ["k", "l", "m"].map(|key| keyed(key, 0, &[a])).to_vec();
    assert_eq!(store.append(request(again)).await.unwrap().duplicates(), 3);
}

/// Fourteen targets with a thousand gaps each: more than a checkpoint of so small a segment takes.
#[tokio::test]
async fn a_partial_checkpoint_is_not_used_to_start() {
    let folder = Folder::new();
    let store = folder.store();
    let names: Vec<String> = (0..14).map(|i| format!("t{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let all = register(&*store, &names).await;
    for _ in 0..2 {
        append(&*store, (0..1_000).map(|i| planned(i.to_string(), &all)).collect()).await;
    }
    for target in &all {
        let claimed = claim(&*store, *target, 2_000).await;
        let every_other: Vec<_> = claimed.into_iter().skip(1).step_by(2).collect();
        settle(&*store, *target, &every_other, delivered()).await;
    }
    let c = register(&*store, &["c"]).await[0];
    let before = folder.segments().len();
    fill(&folder, &store, c, before + 1).await;
    store.flush().await.unwrap();
    let depths: Vec<_> = all.iter().map(|target| store.depth(*target).pending).collect();
    drop(store);
    let newest = std::fs::read(folder.segments().pop().unwrap()).unwrap();
    let kind = newest[usize::try_from(SEGMENT_HEADER_BYTES).unwrap() + 4];
    assert_eq!(kind, Kind::CheckpointPart as u8);
    folder.delete_index();
    let (store, gate) = gated(&folder);
    for (target, pending) in all.iter().zip(depths) {
        assert_eq!(store.depth(*target).pending, pending);
        let parked = usize::try_from(store.depth(*target).retrying).unwrap();
        let open = usize::try_from(pending).unwrap() - parked;
        let numbers: Vec<usize> = texts(&claim(&*store, *target, open).await)
            .iter()
            .map(|n| n.parse().unwrap())
            .collect();
        assert!(numbers.iter().all(|n| n.is_multiple_of(2)), "delivered again: {numbers:?}");
    }
    pass(&gate, &store).await;
}

#[tokio::test]
async fn damage_found_by_a_rebuild_is_reported_and_the_rest_continues() {
    let folder = Folder::new();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    let ids = append(&*store, vec![planned("first", &[a]), planned("second", &[a])]).await;
    let second = append(&*store, vec![planned("hurt", &[a])]).await[0];
    let left = fill(&folder, &store, a, 3).await;
    drop(store);
    folder.delete_index();
    let (log, place) = (&folder.segments()[0], offset_of(second));
    flip(log, place + 60);
    let (store, gate) = gated(&folder);
    gate.open();
    let progress = || store.rebuilding().unwrap().progress;
    until("it is reported", || progress().contains("damaged at byte")).await;
    assert!(progress().contains(&format!("byte {place}")), "{}", progress());
    append(&*store, vec![planned("meanwhile", &[a])]).await;
    let rest = claim(&*store, a, left.len() + 3).await;
    assert_eq!((rest[0].event.id, rest.len()), (ids[0], left.len() + 3));
    assert!(store.damage().is_some());
    // A bit turned back is a repair.
    flip(log, place + 60);
    whole(&store).await;
    assert_eq!(store.dead_letters(a, None, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_interrupted_rebuild_starts_again() {
    let folder = Folder::new();
    let (store, a, left) = loaded(&folder).await;
    drop(store);
    folder.delete_index();
    for i in 0..3 {
        let (store, gate) = gated(&folder);
        append(&*store, vec![planned(i.to_string(), &[a])]).await;
        if i == 1 {
            // The rebuild does a part of its work in that time.
            gate.open();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(store.depth(a).pending, left.len() as u64 + 2 + i);
        gate.open();
    }
    let (store, gate) = gated(&folder);
    pass(&gate, &store).await;
    assert_eq!(dump(&store), rebuilt_rows(&folder));
    assert_eq!(claimable(&*store, a).await.len(), left.len() + 4);
}
