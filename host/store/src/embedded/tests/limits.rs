//! Requests and calls that are refused, with the error.

use crate::contract::*;
use crate::{AppendError, Depth, Queue, REQUEST_EVENTS_MAX};
use dispatcher_model::TargetNumber;

use crate::embedded::tests::support::Folder;

#[tokio::test]
async fn a_request_larger_than_half_a_segment_never_fits() {
    let folder = Folder::new();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    // The title repeats the data.
    let fits = append(&*store, vec![planned("x".repeat(260_000), &[a])]).await;
    let refused = store.append(request(vec![planned("x".repeat(264_000), &[a])])).await;
    assert!(
        matches!(refused, Err(AppendError::TooLarge { bytes: 528_000.., bytes_max: 524_288 })),
        "{refused:?}"
    );
    assert_eq!(claim(&*store, a, 1).await[0].event.id, fits[0]);
}

#[tokio::test]
async fn a_request_has_a_maximum_number_of_events() {
    let folder = Folder::new();
    let store = folder.store();
    let events = |count| (0..count).map(|i: usize| planned(i.to_string(), &[])).collect();
    assert_eq!(append(&*store, events(REQUEST_EVENTS_MAX)).await.len(), REQUEST_EVENTS_MAX);
    let refused = store.append(request(events(REQUEST_EVENTS_MAX + 1))).await.unwrap_err();
    assert!(refused.to_string().contains("1001 events"), "{refused}");
}

#[tokio::test]
async fn a_target_must_be_registered() {
    let folder = Folder::new();
    let store = folder.store();
    let unknown = TargetNumber(7);
    let refused = store.append(request(vec![planned("1", &[unknown])])).await.unwrap_err();
    assert!(refused.to_string().contains("unknown target number 7"), "{refused}");
    assert!(store.claim(unknown, 1, HOUR).await.is_err());
    assert!(store.settle(unknown, Vec::new()).await.is_err());
    assert_eq!(store.depth(unknown), Depth::default());
    let long = store.register(vec!["x".repeat(256).into()]).await.unwrap_err();
    assert!(long.to_string().contains("in bytes, at most 255"), "{long}");
}

#[tokio::test]
async fn long_reasons_are_cut() {
    let folder = Folder::new();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    append(&*store, vec![planned("1", &[a])]).await;
    let one = claim(&*store, a, 1).await;
    settle(&*store, a, &one, dead(&"é".repeat(5_000))).await;
    store.flush().await.unwrap();
    let letters = store.dead_letters(a, None, 1).await.unwrap();
    assert_eq!(letters[0].reason, "é".repeat(512));
}
