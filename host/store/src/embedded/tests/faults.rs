//! A failing disk: nothing is acknowledged that is not durable, and the store recovers by itself.

use crate::contract::*;
use crate::embedded::simulation::hardware::disk::Faults;
use crate::embedded::tests::support::Folder;
use crate::{AppendError, Queue, StoreError};

#[tokio::test]
async fn a_failed_sync_or_write_starts_a_new_segment() {
    type Fault = fn(&mut Faults);
    let sync: Fault = |faults| faults.bad_syncs = 1;
    let write: Fault = |faults| faults.bad_writes = 1;
    for (what, fault) in [("sync", sync), ("write to", write)] {
        let (folder, disk) = Folder::simulated();
        let store = folder.store();
        let a = register(&*store, &["a"]).await[0];
        append(&*store, vec![planned("before", &[a])]).await;
        disk.plan(fault);
        let refused = store.append(request(vec![keyed("k", 1, &[a])])).await.unwrap_err();
        let AppendError::Disk(reason) = &refused else { panic!("{refused}") };
        assert!(reason.contains(what) && reason.contains("seg-0000000000000000.log"), "{reason}");
        assert!(reason.contains("os error 5"), "{reason}");
        assert_eq!(store.depth(a).pending, 1);
        // Not a repetition: the first one was never stored.
        let again = store.append(request(vec![keyed("k", 1, &[a])])).await.unwrap();
        assert_eq!(again.duplicates(), 0);
        assert_eq!(folder.segments().len(), 2);
        drop(store);
        for _ in 0..2 {
            let store = folder.store();
            assert_eq!(claimable(&*store, a).await[..2], ["before", "k-1"], "{what}");
            drop(store);
            folder.delete_index();
        }
    }
}

#[tokio::test]
async fn outcomes_are_written_again_after_a_failed_sync() {
    let (folder, disk) = Folder::simulated();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    append(&*store, (0..4).map(|i| planned(i.to_string(), &[a])).collect()).await;
    let all = claim(&*store, a, 4).await;
    settle(&*store, a, &all[..1], delivered()).await;
    settle(&*store, a, &all[1..2], retry(now())).await;
    settle(&*store, a, &all[2..3], dead("no")).await;
    disk.plan(|faults| faults.bad_syncs = 1);
    assert!(store.append(request(vec![planned("refused", &[a])])).await.is_err());
    store.flush().await.unwrap();
    drop(store);
    for _ in 0..2 {
        let store = folder.store();
        assert_eq!(store.dead_letters(a, None, 9).await.unwrap().len(), 1);
        let mut left: Vec<String> = claimable(&*store, a).await;
        left.retain(|text| text != "the end");
        assert_eq!(left, ["1", "3"]);
        drop(store);
        folder.delete_index();
    }
}

#[tokio::test]
async fn a_failing_disk_is_tried_again_each_time() {
    let (folder, disk) = Folder::simulated();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    disk.plan(|faults| (faults.bad_syncs, faults.bad_creates) = (1, 2));
    for _ in 0..3 {
        let refused = store.append(request(vec![planned("refused", &[a])])).await;
        assert!(matches!(refused, Err(AppendError::Disk(_))));
    }
    // The rename took effect but reported an error: the segment is made once more.
    disk.plan(|faults| faults.late_renames = 1);
    assert!(store.append(request(vec![planned("refused", &[a])])).await.is_err());
    append(&*store, vec![planned("taken", &[a])]).await;
    drop(store);
    assert_eq!(claimable(&*folder.store(), a).await, ["taken"]);
}

#[tokio::test]
async fn a_log_that_cannot_be_read_is_shown_and_read_again_when_the_disk_answers() {
    let (folder, disk) = Folder::simulated();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    append(&*store, (0..4).map(|i| planned(i.to_string(), &[a])).collect()).await;
    store.close().await.unwrap();
    drop(store);
    let store = folder.store();
    disk.plan(|faults| faults.bad_reads = u32::MAX);
    for _ in 0..20 {
        let refused = store.claim(a, 9, HOUR).await.unwrap_err();
        assert!(matches!(refused, StoreError::ReadLog { .. }), "{refused}");
        let shown = store.damage().unwrap();
        assert!(shown.starts_with("cannot read the log in "), "{shown}");
        assert!(shown.ends_with("it is tried again, and deliveries to a wait"), "{shown}");
    }
    disk.plan(|faults| faults.bad_reads = 0);
    assert_eq!(claimable(&*store, a).await, ["0", "1", "2", "3"]);
    assert_eq!((store.damage(), store.depth(a).dead), (None, 0));
}
