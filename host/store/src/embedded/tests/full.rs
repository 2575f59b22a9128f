//! A full disk: requests are refused, outcomes are still written, and everything continues by itself once
//! there is room. And an index that fails.

use std::sync::Arc;

use crate::contract::*;
use crate::embedded::Embedded;
use crate::embedded::platform::disk::Disk as _;
use crate::embedded::simulation::hardware::disk::{NO_SPACE, SimDisk};
use crate::embedded::simulation::hardware::faulty_index::FaultyIndex;
use crate::{AppendError, Durable, Queue};
use dispatcher_model::TargetNumber;

use crate::embedded::tests::support::{Folder, dump, until};

/// EDQUOT.
const OVER_QUOTA: i32 = 122;

/// EFBIG.
const TOO_LARGE: i32 = 27;

fn limited(free_min_bytes: u64) -> (Folder, SimDisk, Arc<Embedded>) {
    let (folder, disk) = Folder::simulated();
    let mut settings = folder.settings();
    settings.free_min_bytes = Some(free_min_bytes);
    let store = Embedded::open_on(&settings, &folder.machine()).unwrap();
    (folder, disk, store)
}

/// Lets no file grow. Only a lack of space shows in what is free.
fn fill(disk: &SimDisk, error: i32) {
    disk.plan(|faults| {
        faults.full = Some(error);
        faults.free_bytes = (error == NO_SPACE).then_some(0);
    });
}

fn free(disk: &SimDisk) {
    disk.plan(|faults| (faults.full, faults.free_bytes) = (None, None));
}

async fn try_append(store: &Embedded, text: &str, target: TargetNumber) -> Result<Durable, String> {
    match store.append(request(vec![keyed(text, 1, &[target])])).await {
        Ok(durable) => Ok(durable),
        Err(AppendError::Full { reason }) => Err(reason),
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_full_disk_refuses_requests_keeps_outcomes_and_recovers_without_a_restart() {
    for error in [NO_SPACE, OVER_QUOTA, TOO_LARGE] {
        let (folder, disk, store) = limited(0);
        let a = register(&*store, &["a"]).await[0];
        append(&*store, (0..4).map(|i| planned(i.to_string(), &[a])).collect()).await;
        let reserve = folder.settings().log_folder().join("reserve.tmp");
        let length = || disk.open(&reserve).map_or(0, |file| file.len().unwrap());
        until("a reserve", || length() == 256 << 10).await;
        until("it is known", || store.shared.room.has_reserve()).await;
        let claimed = claim(&*store, a, 4).await;

        fill(&disk, error);
        let reason = try_append(&store, "k", a).await.unwrap_err();
        assert!(
            reason.contains("seg-0000000000000000.log") && reason.contains("free some"),
            "{reason}"
        );
        let tries = disk.failures();
        for _ in 0..100 {
            assert_eq!(try_append(&store, "k", a).await.unwrap_err(), reason);
        }
        assert!(disk.failures() <= tries + 1, "requests tried the disk");
        let full = store.full().unwrap();
        assert!(full.refused >= 100 && full.reason == reason, "{full:?}");
        // Outcomes are written into the reserve.
        settle(&*store, a, &claimed[..2], delivered()).await;
        settle(&*store, a, &claimed[2..3], dead("no")).await;
        store.flush().await.unwrap();

        free(&disk);
        until("room", || store.full().is_none()).await;
        assert_eq!(try_append(&store, "k", a).await.unwrap().duplicates(), 0);
        assert_eq!(folder.segments().len(), 2, "errno {error}");
        drop(store);
        for _ in 0..2 {
            let store = folder.store();
            assert_eq!(claimable(&*store, a).await[..2], ["3", "k-1"], "errno {error}");
            assert_eq!(store.dead_letters(a, None, 9).await.unwrap().len(), 1);
            drop(store);
            folder.delete_index();
        }
    }
}

#[tokio::test]
async fn without_a_reserve_outcomes_wait_in_memory_for_free_space() {
    let (folder, disk, store) = limited(0);
    let a = register(&*store, &["a"]).await[0];
    append(&*store, vec![planned("1", &[a]), planned("2", &[a])]).await;
    let claimed = claim(&*store, a, 2).await;
    until("a reserve", || store.shared.room.has_reserve()).await;
    fill(&disk, NO_SPACE);
    drop(store.shared.room.take_reserve());
    assert!(try_append(&store, "refused", a).await.is_err());
    settle(&*store, a, &claimed[..1], delivered()).await;
    assert!(store.flush().await.is_err());
    assert_eq!(folder.segments().len(), 1);
    free(&disk);
    until("room", || store.full().is_none()).await;
    store.flush().await.unwrap();
    assert_eq!(folder.segments().len(), 2);
    drop(store);
    assert_eq!(claimable(&*folder.store(), a).await, ["2"]);
}

#[tokio::test]
async fn below_the_minimum_requests_are_refused_until_a_tenth_more_is_free() {
    let (_folder, disk, store) = limited(1_000);
    let a = register(&*store, &["a"]).await[0];
    append(&*store, vec![planned("1", &[a])]).await;
    let seen = |free| {
        disk.plan(|faults| faults.free_bytes = Some(free));
        store.shared.room.measure(&*store.shared.reader.disk);
        store.full().map(|full| full.reason)
    };
    assert_eq!(seen(1_000), None);
    let reason = seen(999).unwrap();
    assert!(reason.contains("999B free") && reason.contains("store.free_min (1000B)"), "{reason}");
    assert_eq!(try_append(&store, "2", a).await.unwrap_err(), reason);
    // Outcomes and acts of operators are still written.
    let claimed = claim(&*store, a, 1).await;
    settle(&*store, a, &claimed, delivered()).await;
    store.flush().await.unwrap();
    assert_eq!(register(&*store, &["a", "b"]).await.len(), 2);
    assert!(seen(1_099).is_some());
    assert_eq!(seen(1_100), None);
    try_append(&store, "2", a).await.unwrap();
    assert_eq!(store.free_bytes(), Some(1_100));
}

/// How the index is lost: it fails, its folder is deleted, or its disk is full for some time.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Loss {
    Failed,
    Gone,
    NoRoom,
}

#[tokio::test]
async fn a_failed_index_is_rebuilt_while_deliveries_continue() {
    for loss in [Loss::Failed, Loss::Gone, Loss::NoRoom] {
        let (folder, disk, store) = limited(0);
        let a = register(&*store, &["a"]).await[0];
        append(&*store, vec![keyed("first", 1, &[a])]).await;
        append(&*store, (0..9).map(|i| planned(i.to_string(), &[a])).collect()).await;
        let some = claim(&*store, a, 4).await;
        settle(&*store, a, &some[..1], retry(now())).await;
        settle(&*store, a, &some[1..2], dead("no")).await;
        store.flush().await.unwrap();
        // The row of the retry is claimed and settled again with an index that takes nothing.
        let again = claim(&*store, a, 1).await;
        assert_eq!(again[0].attempt, 2);

        if loss == Loss::NoRoom {
            fill(&disk, OVER_QUOTA);
        }
        store.shared.index.swap(Some(Box::new(FaultyIndex::failing(loss == Loss::NoRoom))));
        if loss == Loss::Gone {
            folder.delete_index();
        }
        settle(&*store, a, &again, retry(now())).await;
        settle(&*store, a, &some[2..], delivered()).await;
        store.flush().await.ok();
        until("it is noticed", || !store.shared.index.is_open()).await;
        if loss == Loss::NoRoom {
            until("it is reported", || store.full().is_some()).await;
            let refused = store.append(request(vec![keyed("first", 1, &[a])])).await;
            assert!(matches!(refused, Err(AppendError::Full { .. })), "{refused:?}");
            assert_eq!(texts(&claim(&*store, a, 1).await), ["3"], "what was never tried goes on");
            free(&disk);
        }
        until("it is rebuilt", || store.full().is_none() && store.rebuilding().is_none()).await;
        let repeated = store.append(request(vec![keyed("first", 1, &[a])])).await.unwrap();
        assert_eq!(repeated.duplicates(), 1, "{loss:?}");
        let third = claim(&*store, a, 1).await;
        assert_eq!((texts(&third), third[0].attempt), (vec!["first-1".to_owned()], 3), "{loss:?}");
        settle(&*store, a, &third, delivered()).await;
        assert_eq!(store.dead_letters(a, None, 9).await.unwrap().len(), 1);
        store.flush().await.unwrap();
        let kept = dump(&store);
        store.close().await.unwrap();
        folder.delete_index();
        let rebuilt = folder.store();
        assert_eq!(dump(&rebuilt), kept, "{loss:?}");
        assert_eq!(claimable(&*rebuilt, a).await.len(), 6);
    }
}

#[tokio::test]
async fn a_store_closes_while_its_index_cannot_be_rebuilt() {
    let (folder, disk, store) = limited(0);
    let a = register(&*store, &["a"]).await[0];
    append(&*store, vec![planned("1", &[a])]).await;
    let claimed = claim(&*store, a, 1).await;
    until("a reserve", || store.shared.room.has_reserve()).await;
    fill(&disk, NO_SPACE);
    store.shared.index.swap(Some(Box::new(FaultyIndex::failing(true))));
    settle(&*store, a, &claimed, delivered()).await;
    within(store.close()).await.unwrap();
    free(&disk);
    assert!(claimable(&*folder.store(), a).await.is_empty());
}
