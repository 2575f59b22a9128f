//! Callers that only read wait for delayed writes, and cause none.

use std::time::{Duration, Instant};

use super::support::Folder;
use crate::contract::*;
use crate::embedded::limits::LAZY_MS_MAX;
use crate::{Fate, Queue, Retries};

#[tokio::test]
async fn a_reader_waits_for_the_delayed_write_instead_of_forcing_it() {
    let folder = Folder::new();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    let ids = append(&*store, vec![planned("1", &[a])]).await;
    let one = claim(&*store, a, 1).await;
    let began = Instant::now();
    settle(&*store, a, &one, dead("no")).await;
    store.caught_up().await.unwrap();
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(LAZY_MS_MAX / 2), "{waited:?}");
    assert_eq!(store.dead_letters(a, None, 9).await.unwrap().len(), 1);
    let known = store.fate(ids[0]).await.unwrap().unwrap();
    assert!(matches!(known.fates[0].1, Fate::Dead { dropped: false, .. }), "{:?}", known.fates);
}

#[tokio::test]
async fn a_reader_of_a_closed_store_gets_an_error() {
    let folder = Folder::new();
    let store = folder.store();
    store.close().await.unwrap();
    assert!(store.caught_up().await.is_err());
}

/// The only thread of a runtime goes on while the index does not answer: a slow disk must not hold up requests.
#[test]
fn whatever_asks_a_slow_index_blocks_no_async_thread() {
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = Folder::new();
            let store = folder.store();
            let [a, b] = register(&*store, &["a", "b"]).await[..] else { panic!() };
            let ids = append(&*store, vec![planned("1", &[a]), planned("2", &[a])]).await;
            let one = claim(&*store, a, 1).await;
            settle(&*store, a, &one, dead("no")).await;
            store.caught_up().await.unwrap();
            let found = store.find(ids.clone()).await.unwrap().into_iter().flatten().collect();
            let wanted: crate::Wanted = Box::new(|_, _| true);
            let search =
                crate::Search { before: None, since: None, wanted, max: 9, bytes_max: 1 << 20 };
            let slow = store.shared.index.hold_up();
            let short = Duration::from_millis(20);
            let of = || Retries::OfMessagesWith(ids.clone());
            let _ = tokio::time::timeout(short, store.later(a, Retries::All)).await;
            let _ = tokio::time::timeout(short, store.later(a, of())).await;
            let _ = tokio::time::timeout(short, store.hasten(a, Retries::All)).await;
            let _ = tokio::time::timeout(short, store.hasten(a, of())).await;
            let _ = tokio::time::timeout(short, store.fates(found, vec![b])).await;
            let _ = tokio::time::timeout(short, store.find(ids.clone())).await;
            let _ = tokio::time::timeout(short, store.search(search)).await;
            let _ = tokio::time::timeout(short, store.windows(a)).await;
            let _ = tokio::time::timeout(short, store.dead_letters(a, None, 9)).await;
            let _ = tokio::time::timeout(short, store.fate(ids[0])).await;
            let _ = tokio::time::timeout(short, store.event(ids[0])).await;
            let _ = tokio::time::timeout(short, store.replay(a, vec![ids[0]])).await;
            let _ = tokio::time::timeout(short, store.drop_dead(a, vec![ids[0]])).await;
            let _ = tokio::time::timeout(short, store.skip(a, now(), "old".into())).await;
            let dropped = store.drop_waiting(a, Some(ids.clone()), "dropped".into());
            let _ = tokio::time::timeout(short, dropped).await;
            let _ = tokio::time::timeout(short, store.move_waiting(a, b, "moved".into())).await;
            drop(slow);
            // The threads that wait for the index end before the folder is removed.
            store.close().await.unwrap();
            done.send(()).unwrap();
        });
    });
    ended.recv_timeout(Duration::from_secs(30)).expect("the thread of the runtime is blocked");
}
