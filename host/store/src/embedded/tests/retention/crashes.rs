//! The process ends at every step of the removal of a segment.

use crate::embedded::tests::retention::*;

#[tokio::test]
async fn a_process_that_ends_during_the_removal_of_a_segment_loses_and_repeats_nothing() {
    for changes in 1..12 {
        let (folder, disk) = Folder::simulated();
        let small = Small { folder, ..Small::new(Some(4 * MIB), None) };
        let store = small.store();
        let [a, b] = register(&*store, &["a", "b"]).await[..] else { panic!() };
        let ids = small.append(&store, &["waits".into(), "dead".into()], &[a]).await;
        let some = claim(&*store, a, 2).await;
        settle(&*store, a, &some[..1], retry(dispatcher_model::Timestamp::from_millis(1))).await;
        settle(&*store, a, &some[1..], dead("no")).await;
        small.traffic(&store, b, 8).await;
        store.close().await.unwrap();
        drop(store);
        let store = small.store();
        disk.plan(|faults| faults.changes_left = Some(changes));
        // Some of it is refused from some place on.
        for i in 0..25 {
            let events = (0..50).map(|j| planned(large(&format!("{i}.{j}")), &[b])).collect();
            if store.append(request(events)).await.is_err() {
                break;
            }
            while store.depth(b).pending > 0 {
                let some = within(store.claim(b, 100, HOUR)).await.unwrap();
                settle(&*store, b, &some, delivered()).await;
            }
            if store.flush().await.is_err() {
                break;
            }
        }
        drop(store);
        disk.restart();
        let store = small.store();
        let depth = store.depth(a);
        assert_eq!((depth.pending, depth.retrying, depth.dead), (1, 1, 1), "{changes}");
        for id in &ids {
            assert!(store.event(*id).await.unwrap().is_some(), "{changes}");
        }
        let letters = store.dead_letters(a, None, 9).await.unwrap();
        assert_eq!((letters.len(), letters[0].event), (1, ids[1]));
        small.same_after_rebuild(store).await;
        let store = small.store();
        let waits = claim(&*store, a, 1).await;
        assert_eq!(texts(&waits), ["waits"]);
        settle(&*store, a, &waits, retry(dispatcher_model::Timestamp::from_millis(1))).await;
        while store.depth(b).pending > store.depth(b).in_flight {
            let some = within(store.claim(b, 100, HOUR)).await.unwrap();
            settle(&*store, b, &some, delivered()).await;
        }
        small.traffic(&store, b, 8).await;
    }
}
