//! Callers that only read wait for delayed writes, and cause none.

use std::time::{Duration, Instant};

use super::support::Folder;
use crate::contract::*;
use crate::embedded::limits::LAZY_MS_MAX;
use crate::{Fate, Queue};

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
