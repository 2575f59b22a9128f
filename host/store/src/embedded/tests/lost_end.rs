//! A log that ends before the place that its index has read: acknowledged events are lost. The start refuses,
//! and a repair counts what is lost.

use std::fs::File;
use std::path::Path;

use crate::contract::*;
use crate::embedded::tools::{self, Damage, Report, Start, Work};
use crate::embedded::{Embedded, OpenError};
use crate::{AppendError, Queue};
use dispatcher_model::EventId;

use crate::embedded::tests::support::{Folder, deliver_all, flip, large, offset_of};

/// A closed store with events in so many segments.
async fn stored(segments: usize) -> (Folder, Vec<EventId>) {
    let folder = Folder::new();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    let mut ids = Vec::new();
    while folder.segments().len() < segments || ids.len() % 25 != 12 {
        ids.extend(append(&*store, vec![keyed(&large(&format!("{}.", ids.len())), 0, &[a])]).await);
    }
    let some = claim(&*store, a, 8).await;
    settle(&*store, a, &some[..5], delivered()).await;
    // The index is the proof of a loss.
    store.caught_up().await.unwrap();
    store.close().await.unwrap();
    (folder, ids)
}

fn cut(file: &Path, len: u64) {
    File::options().write(true).open(file).unwrap().set_len(len).unwrap();
}

fn check(folder: &Folder) -> Report {
    tools::check(&folder.settings().directory, &mut |_, _| {}).unwrap()
}

fn known(damages: &[Damage]) -> u64 {
    damages.iter().map(|damage| damage.known.count).sum()
}

/// The start refuses twice; a repair counts `lost` events, and the rest is delivered.
async fn refused_and_repaired(folder: &Folder, ids: &[EventId], lost: u64, what: &str) {
    for _ in 0..2 {
        let refused = Embedded::open(folder.settings()).unwrap_err();
        assert!(matches!(refused, OpenError::Lost { .. }), "{what}: {refused}");
        assert!(refused.to_string().contains("dispatcher store repair"), "{refused}");
    }
    let report = check(folder);
    assert!(matches!(report.start, Start::Fails(_)), "{what}: {report:?}");
    assert_eq!(known(&report.damages), lost, "{what}: {report:?}");
    let work = Work::default();
    let done = tools::repair(&folder.settings().directory, &work, &mut |_, _| {}).unwrap();
    let after = done.after.unwrap();
    assert!(after.is_clean() && matches!(after.start, Start::Works), "{what}: {after:?}");
    assert!(done.index_removed && after.set_aside.len() == 1, "{what}: {after:?}");
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    let left = claimable(&*store, a).await.len() as u64;
    // The outcomes of five may be lost, too.
    let all = ids.len() as u64;
    assert!((all - 5..=all).contains(&(left + lost)), "{what}: {left} left of {all}");
    store.flush().await.unwrap();
    assert!(store.depth(a).dead > 0, "{what}: what is lost is a dead letter");
    let again: Result<_, AppendError> = store.append(request(vec![planned("new", &[a])])).await;
    assert!(again.is_ok());
    store.close().await.unwrap();
    drop(store);
    assert!(check(folder).is_clean(), "{what}");
    drop(folder.store());
}

#[tokio::test]
async fn a_newest_segment_that_was_cut_is_a_loss() {
    let (folder, ids) = stored(2).await;
    let newest = folder.segments().pop().unwrap();
    let base = (folder.segments().len() as u64 - 1) << 20;
    let places: Vec<u64> = ids.iter().filter_map(|id| offset_of(*id).checked_sub(base)).collect();
    let [.., before, last] = places[..] else { panic!("{places:?}") };
    let tenth = std::fs::metadata(&newest).unwrap().len() / 10;
    for at in [tenth, last, last + 9, last - 4_000] {
        let copy = folder.copy();
        cut(&copy.segments().pop().unwrap(), at);
        let lost = places.iter().filter(|place| **place + (last - before) > at).count() as u64;
        refused_and_repaired(&copy, &ids, lost, &format!("cut at {at}")).await;
    }
}

#[tokio::test]
async fn newest_segments_that_are_gone_are_a_loss() {
    for gone in [1, 2] {
        let (folder, ids) = stored(4).await;
        let segments = folder.segments();
        for path in &segments[segments.len() - gone..] {
            std::fs::remove_file(path).unwrap();
        }
        let end = ((segments.len() - gone) as u64) << 20;
        let lost = ids.iter().filter(|id| offset_of(**id) >= end).count() as u64;
        refused_and_repaired(&folder, &ids, lost, &format!("{gone} gone")).await;
    }
}

#[tokio::test]
async fn a_log_that_is_gone_is_not_taken_for_a_new_store() {
    let (folder, _) = stored(1).await;
    std::fs::remove_dir_all(folder.settings().log_folder()).unwrap();
    for _ in 0..2 {
        let refused = Embedded::open(folder.settings()).unwrap_err();
        assert!(matches!(refused, OpenError::NoLog { .. }), "{refused}");
    }
    folder.delete_index();
    // The file of the lock still says that there was one.
    assert!(matches!(Embedded::open(folder.settings()), Err(OpenError::NoLog { .. })));
    std::fs::remove_file(folder.settings().lock_file()).unwrap();
    drop(folder.store());
}

/// The index has not read the last ones, but the file had its whole length before.
#[tokio::test]
async fn the_newest_file_of_a_killed_daemon_that_is_shorter_is_a_loss() {
    for cut_by in [8, 64, 140, 300, 5_000] {
        let (folder, ids) = stored(1).await;
        let store = folder.store();
        let a = register(&*store, &["a"]).await[0];
        let ids: Vec<_> =
            ids.into_iter().chain(append(&*store, vec![planned("last", &[a])]).await).collect();
        drop(store);
        folder.delete_index();
        let end = folder.end();
        cut(&folder.segments()[0], end - cut_by);
        let what = format!("cut by {cut_by}");
        for _ in 0..2 {
            let refused = Embedded::open(folder.settings()).unwrap_err();
            assert!(matches!(refused, OpenError::Cut { .. }), "{what}: {refused}");
            assert!(refused.to_string().contains("dispatcher store repair"), "{refused}");
        }
        assert!(matches!(check(&folder).start, Start::Fails(_)), "{what}");
        let work = Work::default();
        let done = tools::repair(&folder.settings().directory, &work, &mut |_, _| {}).unwrap();
        let after = done.after.unwrap();
        assert!(after.is_clean() && matches!(after.start, Start::Works), "{what}: {after:?}");
        let store = folder.store();
        let new = append(&*store, vec![planned("new", &[a])]).await[0];
        assert!(!ids.contains(&new), "{what}: a number is given twice");
        deliver_all(&store, a).await;
        assert_eq!((store.depth(a).pending, store.depth(a).dead), (0, 1), "{what}");
    }
}

/// Nothing behind the last record proves that it was durable, but the index does.
#[tokio::test]
async fn damage_of_the_last_record_is_not_a_torn_write_if_the_index_has_read_it() {
    let (folder, ids) = stored(1).await;
    folder.shorten();
    let log = folder.segments()[0].clone();
    let [.., before, last] = ids[..] else { panic!() };
    let (before, last) = (offset_of(before), offset_of(last));
    flip(&log, last + 60);
    // The outcomes behind it would prove it, too.
    cut(&log, 2 * last - before);
    let refused = Embedded::open(folder.settings()).unwrap_err();
    assert!(matches!(refused, OpenError::Lost { .. }), "{refused}");
    assert!(!check(&folder).is_clean());
    // Without an index it looks like a write that was never acknowledged.
    folder.delete_index();
    drop(folder.store());
}

#[tokio::test]
async fn a_torn_write_behind_what_the_index_has_read_is_cut_off() {
    let (folder, ids) = stored(1).await;
    folder.shorten();
    let log = folder.segments()[0].clone();
    let mut bytes = std::fs::read(&log).unwrap();
    let last = usize::try_from(offset_of(*ids.last().unwrap())).unwrap();
    let torn = bytes[last..last + 300].to_vec();
    bytes.extend(torn);
    std::fs::write(&log, bytes).unwrap();
    assert!(matches!(check(&folder).start, Start::Works));
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    assert_eq!(claimable(&*store, a).await.len(), ids.len() - 5);
}
