//! Segments have summaries, so that a target with few events reads little.

use crate::Queue;
use crate::contract::*;
use crate::embedded::Embedded;
use crate::embedded::log::summary::Summary;
use crate::embedded::platform::locks::read_lock;

use crate::embedded::tests::support::{Folder, large};

/// Without the time of day of the last record, which is used for the newest segment only and is not stored.
fn summaries(store: &Embedded) -> Vec<Option<Summary>> {
    let segments = read_lock(&store.shared.reader.segments);
    let summaries = segments.list.iter().map(|segment| segment.summary.as_deref().cloned());
    summaries.map(|summary| summary.map(|summary| Summary { wall_ms: 0, ..summary })).collect()
}

#[tokio::test]
async fn a_target_reads_only_the_segments_with_its_events() {
    let (folder, disk) = Folder::simulated();
    let store = folder.store();
    let [a, b] = register(&*store, &["a", "b"]).await[..] else { panic!() };
    let fill = async |segments: usize| {
        while folder.segments().len() < segments {
            append(&*store, (0..50).map(|_| planned(large("x"), &[a])).collect()).await;
        }
    };
    append(&*store, vec![planned("first", &[a, b])]).await;
    fill(6).await;
    append(&*store, vec![planned("rare", &[b])]).await;
    fill(12).await;
    append(&*store, vec![planned("last", &[b])]).await;
    let known = summaries(&store);
    assert!(known.split_last().is_some_and(|(newest, closed)| {
        newest.is_none() && closed.iter().all(Option::is_some)
    }));
    assert_eq!(known[0].as_ref().unwrap().targets.len(), 2);
    assert_eq!(known[1].as_ref().unwrap().targets.len(), 1);
    store.close().await.unwrap();
    drop(store);
    for index in ["kept", "lost"] {
        if index == "lost" {
            folder.delete_index();
        }
        let before_open = disk.read_bytes();
        let store = folder.store();
        let closed = known.len() - 1;
        assert_eq!(summaries(&store)[..closed], known[..closed], "index {index}");
        if index == "kept" {
            // A page a segment, and the newest one three times, all of it if it was written in advance.
            let opened = disk.read_bytes() - before_open;
            assert!(opened < 4 << 20, "{opened} bytes to open");
        }
        let before_claims = disk.read_bytes();
        assert_eq!(claimable(&*store, b).await[..3], ["first", "rare", "last"]);
        let read = disk.read_bytes() - before_claims;
        assert!(read < 4 << 20, "{read} bytes of 12 MiB");
    }
}

#[tokio::test]
async fn a_segment_without_a_summary_is_read_once() {
    let folder = Folder::new();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    while folder.segments().len() < 3 {
        append(&*store, (0..50).map(|_| planned(large("x"), &[a])).collect()).await;
    }
    let known = summaries(&store);
    store.close().await.unwrap();
    drop(store);
    // Its last byte is part of the summary's length.
    let log = &folder.segments()[0];
    let second = std::fs::read(&folder.segments()[1]).unwrap();
    let header =
        crate::embedded::format::segment_header::SegmentHeader::from_bytes(&second).unwrap();
    crate::embedded::tests::support::flip(log, header.prev_end - 8);
    assert_eq!(summaries(&folder.store())[1], known[1]);
    let store = folder.store();
    let found = summaries(&store)[0].clone().unwrap();
    assert_eq!(
        found,
        Summary { any: true, names_any: true, ..known[0].clone().unwrap() },
        "what lies there is damaged"
    );
}
