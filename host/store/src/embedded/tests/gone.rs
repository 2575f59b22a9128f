//! A data folder that is removed, moved or replaced while the store is open, and a disk that fails.

use crate::contract::*;
use crate::embedded::Embedded;
use crate::embedded::platform::locks::read_lock;
use crate::embedded::tests::support::{Folder, large, until};
use crate::{AppendError, Queue};
use dispatcher_model::TargetNumber;

/// Appends until a request is refused; returns why. An answer may come until the files are looked at.
async fn refusal(store: &Embedded, target: TargetNumber) -> String {
    for count in 0.. {
        match store.append(request(vec![planned(format!("{count}"), &[target])])).await {
            Ok(_) => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
            Err(AppendError::Full { reason }) => return reason,
            Err(other) => panic!("{other:?}"),
        }
    }
    unreachable!("it is refused")
}

#[tokio::test]
async fn requests_are_refused_while_the_data_folder_is_another_one() {
    type Change = fn(&std::path::Path);
    let remove: Change = |data| std::fs::remove_dir_all(data).unwrap();
    let replace: Change = |data| {
        std::fs::rename(data, data.with_extension("old")).unwrap();
        crate::embedded::tests::support::copy_tree(&data.with_extension("old"), data);
    };
    let moved: Change = |data| std::fs::rename(data.join("log"), data.join("moved")).unwrap();
    for (change, words) in [
        (remove, "lock is gone: "),
        (replace, "lock is another file than the daemon opened: "),
        (moved, "seg-0000000000000000.log is gone: "),
    ] {
        let folder = Folder::new();
        let store = folder.store();
        let a = register(&*store, &["a"]).await[0];
        append(&*store, vec![planned("before", &[a])]).await;
        assert_eq!(store.full(), None);
        change(&folder.settings().directory);
        let reason = refusal(&store, a).await;
        assert!(reason.contains(words) && reason.contains("put it back"), "{reason}");
        let full = store.full().unwrap();
        assert!(full.reason == reason && full.refused >= 1 && !full.lacks_room, "{full:?}");
        // What is there now is left alone, also when the log would go on in a new segment.
        let there = std::fs::read_dir(folder.settings().log_folder()).map_or(0, Iterator::count);
        store.flush().await.ok();
        let after = std::fs::read_dir(folder.settings().log_folder()).map_or(0, Iterator::count);
        assert_eq!(there, after);
    }
}

#[tokio::test]
async fn requests_are_accepted_again_when_the_folder_is_back_and_nothing_is_lost() {
    let folder = Folder::new();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    append(&*store, vec![planned("before", &[a])]).await;
    let data = folder.settings().directory;
    std::fs::rename(&data, data.with_extension("old")).unwrap();
    refusal(&store, a).await;
    // Long enough that a new index would be made.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    assert!(!data.exists(), "nothing is made in place of the folder");
    std::fs::rename(data.with_extension("old"), &data).unwrap();
    until("requests to be accepted", || store.full().is_none()).await;
    append(&*store, vec![planned("after", &[a])]).await;
    drop(store);
    let events = claimable(&*folder.store(), a).await;
    assert_eq!(events[0], "before");
    assert!(events.contains(&"after".to_owned()), "{events:?}");
}

#[tokio::test]
async fn a_spare_that_is_removed_or_replaced_costs_no_request_and_loses_no_event() {
    let remove = |spare: &std::path::Path| std::fs::remove_file(spare).unwrap();
    let replace = |spare: &std::path::Path| {
        std::fs::remove_file(spare).unwrap();
        std::os::unix::fs::symlink("/dev/full", spare).unwrap();
    };
    let changes: [&dyn Fn(&std::path::Path); 2] = [&remove, &replace];
    for change in changes {
        let folder = Folder::new();
        let store = folder.store();
        let a = register(&*store, &["a"]).await[0];
        let mut count = 0;
        // It is written once the log is in use.
        while !store.shared.spare.is_ready() {
            append(&*store, vec![planned(large(&count.to_string()), &[a])]).await;
            count += 1;
        }
        change(&store.shared.spare.path);
        let before = read_lock(&store.shared.reader.segments).list.len();
        while read_lock(&store.shared.reader.segments).list.len() == before {
            append(&*store, vec![planned(large(&count.to_string()), &[a])]).await;
            count += 1;
        }
        append(&*store, vec![planned("last", &[a])]).await;
        assert_eq!(store.full(), None);
        drop(store);
        let events = claimable(&*folder.store(), a).await;
        assert_eq!((events.len(), events.last().unwrap().as_str()), (count + 1, "last"));
    }
}

#[tokio::test]
async fn a_disk_that_fails_is_the_reason_that_is_shown_until_it_writes_again() {
    let (folder, disk) = Folder::simulated();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    for way in ["a request", "a look at the disk"] {
        disk.plan(|faults| (faults.bad_syncs, faults.bad_creates) = (1, 1_000));
        for _ in 0..3 {
            let refused = store.append(request(vec![planned("refused", &[a])])).await;
            assert!(matches!(refused, Err(AppendError::Disk(_))), "{refused:?}");
        }
        let full = store.full().unwrap();
        assert!(full.refused >= 3 && !full.lacks_room, "{full:?}");
        assert!(full.reason.contains("os error 5") && full.reason.contains("may write there"));
        disk.plan(|faults| (faults.bad_syncs, faults.bad_creates) = (0, 0));
        if way == "a request" {
            append(&*store, vec![planned("taken", &[a])]).await;
            assert_eq!(store.full(), None);
        } else {
            until("the disk to be tried", || store.full().is_none()).await;
        }
    }
}

#[tokio::test]
async fn a_store_that_is_closed_says_so() {
    let folder = Folder::new();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    store.close().await.unwrap();
    let refused = store.append(request(vec![planned("late", &[a])])).await;
    assert!(matches!(refused, Err(AppendError::Closed)), "{refused:?}");
    assert_eq!(store.full().unwrap().reason, "the store is closed");
}

#[tokio::test]
async fn an_index_that_is_removed_moved_or_replaced_is_made_again_and_no_request_is_refused() {
    type Change = fn(&std::path::Path);
    let remove: Change = |index| std::fs::remove_dir_all(index).unwrap();
    let moved: Change = |index| std::fs::rename(index, index.with_extension("old")).unwrap();
    let emptied: Change = |index| {
        std::fs::rename(index, index.with_extension("old")).unwrap();
        std::fs::create_dir(index).unwrap();
    };
    let copied: Change = |index| {
        std::fs::rename(index, index.with_extension("old")).unwrap();
        crate::embedded::tests::support::copy_tree(&index.with_extension("old"), index);
    };
    for (change, words) in [
        (remove, "index/lock is gone"),
        (moved, "index/lock is gone"),
        (emptied, "index/lock is gone"),
        (copied, "index/lock is another file than the daemon opened"),
    ] {
        let folder = Folder::new();
        let store = folder.store();
        let a = register(&*store, &["a"]).await[0];
        append(&*store, vec![keyed("first", 0, &[a])]).await;
        let one = claim(&*store, a, 1).await;
        settle(&*store, a, &one, retry(now().plus(HOUR))).await;
        store.flush().await.unwrap();
        change(&folder.settings().index_folder());
        let mut count = 0;
        until("the index is made again", || store.damage().is_some()).await;
        while store.rebuilding().is_some() {
            append(&*store, vec![planned(format!("{count}"), &[a])]).await;
            count += 1;
        }
        let damage = store.damage().unwrap();
        assert!(damage.contains(words) && damage.contains("made from the log again"), "{damage}");
        assert_eq!(store.full(), None);
        let again = store.append(request(vec![keyed("first", 0, &[a])])).await.unwrap();
        assert_eq!(again.duplicates(), 1);
        assert_eq!(store.depth(a).retrying, 1);
        store.close().await.unwrap();
        drop(store);
        let store = folder.store();
        assert_eq!(store.damage(), None);
        assert_eq!(claimable(&*store, a).await.len(), count);
    }
}

#[tokio::test]
async fn a_repetition_is_not_answered_while_the_log_with_its_event_is_gone() {
    let folder = Folder::new();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    let first = append(&*store, vec![keyed("first", 0, &[a])]).await;
    store.flush().await.unwrap();
    // Long enough that the files are looked at again.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let again = || store.append(request(vec![keyed("first", 0, &[a])]));
    assert_eq!(again().await.unwrap().ids(), first);
    let data = folder.settings().directory;
    std::fs::rename(&data, data.with_extension("old")).unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let refused = again().await;
    assert!(matches!(refused, Err(AppendError::Full { .. })), "{refused:?}");
    std::fs::rename(data.with_extension("old"), &data).unwrap();
    until("requests to be accepted", || store.full().is_none()).await;
    assert_eq!(again().await.unwrap().ids(), first);
}

#[tokio::test]
async fn damaged_indexes_that_are_kept_go_before_requests_are_refused_for_their_space() {
    let (folder, disk) = Folder::simulated();
    let kept = folder.settings().damaged_folder();
    for name in ["index-1", "index-2", "seg-1"] {
        std::fs::create_dir_all(kept.join(name).join("tables")).unwrap();
    }
    let store = folder.store();
    let has_evidence = || ["index-1", "index-2"].iter().any(|name| kept.join(name).exists());
    store.shared.room.measure(&disk);
    assert!(has_evidence() && store.full().is_none());
    disk.plan(|faults| faults.free_bytes = Some(1));
    store.shared.room.measure(&disk);
    assert!(!has_evidence() && store.full().is_some_and(|full| full.lacks_room));
    assert!(kept.join("seg-1").exists(), "copies of a repair stay");
    disk.plan(|faults| faults.free_bytes = None);
    store.shared.room.measure(&disk);
    assert_eq!(store.full(), None);
}

#[tokio::test]
async fn a_closed_segment_that_is_gone_refuses_requests_until_it_is_back() {
    let folder = Folder::new();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    while folder.segments().len() < 4 {
        append(&*store, (0..50).map(|i| planned(large(&i.to_string()), &[a])).collect()).await;
    }
    for gone in [0, 1] {
        let path = folder.segments()[gone].clone();
        let away = folder.dir.path().join("away");
        std::fs::rename(&path, &away).unwrap();
        until("it is noticed without a request", || store.full().is_some()).await;
        let reason = refusal(&store, a).await;
        assert!(
            reason.starts_with(&format!("{} is gone: put it back", path.display())),
            "{reason}"
        );
        assert!(!store.full().unwrap().lacks_room);
        std::fs::rename(&away, &path).unwrap();
        until("requests to be accepted", || store.full().is_none()).await;
        append(&*store, vec![planned("again", &[a])]).await;
    }
    assert!(store.rebuilding().is_none());
}
