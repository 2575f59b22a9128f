//! A process that ends at any moment, and an index that is lost, old or of another log.

use crate::contract::*;
use crate::embedded::{Embedded, OpenError, Settings};
use crate::{Depth, Hold, HoldKind, Queue};
use dispatcher_model::{EventId, TargetNumber};

use crate::embedded::tests::support::{Folder, copy_tree, large};

/// Ten events for `a`: 0 to 2 delivered, 3 dead, 4 waits for a retry that is due, 5 is claimed; all
/// of it durable.
async fn busy(queue: &dyn Queue) -> (TargetNumber, Vec<EventId>) {
    let a = register(queue, &["a"]).await[0];
    let events = (0..10).map(|i| keyed(&format!("k{i}"), 0, &[a])).collect();
    let ids = append(queue, events).await;
    let all = claim(queue, a, 6).await;
    settle(queue, a, &all[..3], delivered()).await;
    settle(queue, a, &all[3..4], dead("no")).await;
    settle(queue, a, &all[4..5], retry(now())).await;
    queue.flush().await.unwrap();
    (a, ids)
}

async fn check_busy(queue: &dyn Queue, a: TargetNumber, ids: &[EventId]) {
    assert_eq!(register(queue, &["a"]).await, [a]);
    assert_eq!(queue.depth(a), Depth { pending: 6, retrying: 1, in_flight: 0, dead: 1 });
    assert_eq!(queue.dead_letters(a, None, 9).await.unwrap()[0].event, ids[3]);
    let again = queue.append(request(vec![keyed("k0", 0, &[a])])).await.unwrap();
    assert_eq!((again.ids()[0], again.duplicates()), (ids[0], 1));
    assert_eq!(claimable(queue, a).await, ["k4-0", "k5-0", "k6-0", "k7-0", "k8-0", "k9-0"]);
}

#[tokio::test]
async fn a_process_without_a_close_loses_and_repeats_nothing_durable() {
    let folder = Folder::new();
    let store = folder.store();
    let (a, ids) = busy(&*store).await;
    drop(store);
    check_busy(&*folder.store(), a, &ids).await;
}

#[tokio::test]
async fn a_lost_index_loses_and_repeats_nothing_durable() {
    let folder = Folder::new();
    let store = folder.store();
    let (a, ids) = busy(&*store).await;
    drop(store);
    folder.delete_index();
    check_busy(&*folder.store(), a, &ids).await;
}

#[tokio::test]
async fn an_old_index_loses_and_repeats_nothing_durable() {
    let folder = Folder::new();
    let old = folder.dir.path().join("old");
    let store = folder.store();
    register(&*store, &["a"]).await;
    store.close().await.unwrap();
    drop(store);
    copy_tree(&folder.settings().index_folder(), &old);
    let store = folder.store();
    let (a, ids) = busy(&*store).await;
    store.close().await.unwrap();
    drop(store);
    folder.delete_index();
    copy_tree(&old, &folder.settings().index_folder());
    check_busy(&*folder.store(), a, &ids).await;
}

#[tokio::test]
async fn an_index_ahead_of_the_log_proves_a_loss() {
    let folder = Folder::new();
    let old = folder.dir.path().join("old");
    let store = folder.store();
    let (a, ids) = busy(&*store).await;
    store.close().await.unwrap();
    drop(store);
    copy_tree(&folder.settings().log_folder(), &old);
    let store = folder.store();
    let rest = claim(&*store, a, 5).await;
    settle(&*store, a, &rest, delivered()).await;
    store.close().await.unwrap();
    drop(store);
    std::fs::remove_dir_all(folder.settings().log_folder()).unwrap();
    copy_tree(&old, &folder.settings().log_folder());
    for _ in 0..2 {
        let refused = Embedded::open(folder.settings()).unwrap_err();
        assert!(matches!(refused, OpenError::Lost { .. }), "{refused}");
    }
    // A restored backup has no index.
    folder.delete_index();
    check_busy(&*folder.store(), a, &ids).await;
}

#[tokio::test]
async fn a_foreign_or_unreadable_index_is_rebuilt() {
    let (folder, other) = (Folder::new(), Folder::new());
    let store = folder.store();
    let (a, ids) = busy(&*store).await;
    drop(store);
    let store = other.store();
    busy(&*store).await;
    drop(store);
    folder.delete_index();
    copy_tree(&other.settings().index_folder(), &folder.settings().index_folder());
    check_busy(&*folder.store(), a, &ids).await;
    // Nonsense in place of its files.
    folder.delete_index();
    std::fs::create_dir(folder.settings().index_folder()).unwrap();
    std::fs::write(folder.settings().index_folder().join("version"), b"nonsense").unwrap();
    let store = folder.store();
    assert_eq!(register(&*store, &["a"]).await, [a]);
    assert_eq!(store.depth(a).pending, 7);
}

#[tokio::test]
async fn a_torn_end_is_cut_off_and_overwritten() {
    for cut in [8, 39, 40, 41, 300] {
        let folder = Folder::new();
        let store = folder.store();
        let a = register(&*store, &["a"]).await[0];
        append(&*store, vec![planned("kept", &[a])]).await;
        append(&*store, (0..5).map(|i| planned(format!("torn {i}"), &[a])).collect()).await;
        drop(store);
        // A torn write was never durable, so the index has not read it.
        folder.delete_index();
        folder.shorten();
        let log = &folder.segments()[0];
        let len = std::fs::metadata(log).unwrap().len();
        let file = std::fs::OpenOptions::new().write(true).open(log).unwrap();
        file.set_len(len - cut).unwrap();
        let store = folder.store();
        assert_eq!(claimable(&*store, a).await, ["kept"], "cut by {cut}");
        append(&*store, vec![planned("new", &[a])]).await;
        drop(store);
        assert_eq!(claimable(&*folder.store(), a).await, ["kept", "new", "the end"]);
    }
}

#[tokio::test]
async fn garbage_behind_the_end_is_cut_off() {
    let folder = Folder::new();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    append(&*store, vec![planned("1", &[a])]).await;
    drop(store);
    folder.shorten();
    let log = &folder.segments()[0];
    let mut bytes = std::fs::read(log).unwrap();
    let len = bytes.len();
    bytes.extend([0; 64].iter().chain(&[0xa5; 333]));
    std::fs::write(log, bytes).unwrap();
    let store = folder.store();
    assert_eq!(std::fs::metadata(log).unwrap().len(), len as u64);
    assert_eq!(claimable(&*store, a).await, ["1"]);
}

#[tokio::test]
async fn a_segment_written_in_advance_is_continued() {
    let folder = Folder::new();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    append(&*store, vec![planned("1", &[a])]).await;
    drop(store);
    let log = &folder.segments()[0];
    let file = std::fs::OpenOptions::new().write(true).open(log).unwrap();
    file.set_len(1 << 20).unwrap();
    for (index, lists) in [("kept", vec!["1"]), ("lost", vec!["1", "the end", "2"])] {
        if index == "lost" {
            folder.delete_index();
        }
        let store = folder.store();
        assert_eq!(std::fs::metadata(log).unwrap().len(), 1 << 20, "nothing is cut off");
        assert_eq!(store.depth(a).pending, lists.len() as u64);
        let all = claim(&*store, a, lists.len()).await;
        assert_eq!(texts(&all), lists);
        append(&*store, vec![planned("the end", &[a]), planned("2", &[a])]).await;
    }
}

#[tokio::test]
async fn the_log_continues_over_many_segments() {
    let folder = Folder::new();
    let store = folder.store();
    let [a, b] = register(&*store, &["a", "b"]).await[..] else { panic!() };
    for i in 0..20 {
        let events = (0..50).map(|j| planned(large(&format!("{i}.{j}")), &[a])).collect();
        append(&*store, events).await;
    }
    let rare = append(&*store, vec![planned("rare", &[b])]).await;
    assert!(folder.segments().len() >= 4);
    let settled = claim(&*store, a, 500).await;
    settle(&*store, a, &settled[..499], delivered()).await;
    store.flush().await.unwrap();
    drop(store);
    for index in ["kept", "lost"] {
        if index == "lost" {
            folder.delete_index();
        }
        let store = folder.store();
        assert_eq!(store.depth(a).pending, 501, "index {index}");
        let rest = claim(&*store, a, 501).await;
        assert_eq!(rest[0].event.id, settled[499].event.id);
        assert_eq!(store.event(rare[0]).await.unwrap().unwrap().data, "rare");
        assert_eq!(texts(&claim(&*store, b, 1).await), ["rare"]);
    }
}

#[tokio::test]
async fn a_log_without_its_oldest_segments_starts_from_a_checkpoint() {
    let folder = Folder::new();
    let store = folder.store();
    let [a, b] = register(&*store, &["a", "b"]).await[..] else { panic!() };
    let hold = Hold { kind: HoldKind::Paused, reason: "a while ago".into(), since: now() };
    store.hold(b, Some(hold.clone())).await.unwrap();
    for i in 0..12 {
        let events = (0..50).map(|j| planned(large(&format!("{i}.{j}")), &[a])).collect();
        append(&*store, events).await;
        let some = claim(&*store, a, 50).await;
        settle(&*store, a, &some, delivered()).await;
    }
    append(&*store, vec![planned("last", &[a, b])]).await;
    store.flush().await.unwrap();
    drop(store);
    folder.remove_oldest(folder.segments().len() - 1);
    folder.delete_index();
    let store = folder.store();
    assert_eq!(register(&*store, &["a", "b", "c"]).await[..2], [a, b]);
    assert_eq!((store.depth(b).pending, store.held(b)), (1, Some(hold)));
    assert_eq!(claimable(&*store, a).await, ["last"]);
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let folder = Folder::new();
    let store = folder.store();
    let refused = Embedded::open(folder.settings()).unwrap_err();
    assert!(matches!(&refused, OpenError::Locked { .. }), "{refused}");
    drop(store);
    folder.store();
}

#[test]
fn an_unusable_folder_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let refused = Embedded::open(Settings::new(file.join("data"))).unwrap_err().to_string();
    assert!(refused.contains("file/data") && refused.contains("in the way"), "{refused}");
    let mut settings = Settings::new(dir.path().join("data"));
    settings.segment_bytes = 1;
    assert!(matches!(Embedded::open(settings), Err(OpenError::SegmentBytes { given: 1 })));
}

#[tokio::test]
async fn files_are_private_to_their_owner() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let _store = folder.store();
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let settings = folder.settings();
    assert_eq!(mode(&settings.directory), 0o700);
    assert_eq!(mode(&settings.log_folder()), 0o700);
    assert_eq!(mode(&folder.segments()[0]), 0o600);
    assert_eq!(mode(&settings.lock_file()), 0o600);
}
