//! Damage on the disk is distinguished from an end that was never durable.

use std::os::unix::fs::FileExt;

use crate::contract::*;
use crate::embedded::format::frame::{Frame, HEADER_BYTES, Kind};
use crate::embedded::format::record::{Registry, frame};
use crate::embedded::format::segment_header::{SegmentHeader, VERSION};
use crate::embedded::{Embedded, OpenError};
use crate::{Depth, Queue};

use crate::embedded::tests::support::{Folder, flip, large, offset_of, one_by_one};

#[tokio::test]
async fn a_start_names_the_place_of_a_flipped_bit() {
    let folder = Folder::new();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    let ids = one_by_one(&store, 3, &[a]).await;
    drop(store);
    folder.delete_index();
    let (log, place) = (&folder.segments()[0], offset_of(ids[1]));
    // In the header, in the payload, and in the length, which leads astray.
    for at in [place + 17, place + HEADER_BYTES as u64 + 9, place + 9] {
        flip(log, at);
        let refused = Embedded::open(folder.settings()).unwrap_err();
        let OpenError::Corrupt { segment, offset, .. } = &refused else { panic!("{refused}") };
        assert_eq!((segment, *offset), (log, place));
        assert!(refused.to_string().contains(&format!("byte {place} of {}", log.display())));
        flip(log, at);
    }
    assert_eq!(folder.store().depth(a).pending, 3);
}

#[tokio::test]
async fn damage_in_an_older_segment_is_found_whatever_is_behind_it() {
    let folder = Folder::new();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    let mut ids = Vec::new();
    for i in 0..8 {
        let events = (0..50).map(|j| planned(large(&format!("{i}.{j}")), &[a])).collect();
        ids.push(append(&*store, events).await[0]);
    }
    drop(store);
    folder.delete_index();
    let log = &folder.segments()[0];
    // The last frame of the first segment: nothing in that file follows it.
    let last = ids.iter().map(|id| offset_of(*id)).filter(|place| *place < 1 << 20).max().unwrap();
    flip(log, last + 100);
    let refused = Embedded::open(folder.settings()).unwrap_err();
    assert!(
        matches!(&refused, OpenError::Corrupt { segment, offset, .. } if segment == log && *offset == last),
        "{refused}"
    );
    flip(log, last + 100);
    // The newest segment's checkpoint was durable before the file had its name.
    let newest = folder.segments().pop().unwrap();
    flip(&newest, 4_096 + 20);
    let refused = Embedded::open(folder.settings()).unwrap_err();
    assert!(
        matches!(&refused, OpenError::Corrupt { segment, offset: 4_096, .. } if *segment == newest),
        "{refused}"
    );
    flip(&newest, 4_096 + 20);
    let cut = |file, len| {
        std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(len).unwrap();
    };
    for (file, len) in [(&newest, 4_096), (log, last)] {
        let whole = std::fs::read(file).unwrap();
        cut(file, len);
        assert!(matches!(Embedded::open(folder.settings()), Err(OpenError::Corrupt { .. })));
        std::fs::write(file, whole).unwrap();
    }
    assert_eq!(folder.store().depth(a).pending, 400);
}

#[tokio::test]
async fn damage_found_while_running_costs_only_the_damaged_event() {
    let folder = Folder::new();
    let store = folder.store();
    let [a, b] = register(&*store, &["a", "b"]).await[..] else { panic!() };
    let ids = one_by_one(&store, 5, &[a, b]).await;
    let some = claim(&*store, b, 5).await;
    settle(&*store, b, &some[1..2], retry(now())).await;
    settle(&*store, b, &some[..1], delivered()).await;
    settle(&*store, b, &some[2..], delivered()).await;
    store.close().await.unwrap();
    drop(store);
    // The index has read all of it: the log is not read at the start.
    flip(&folder.segments()[0], offset_of(ids[1]) + 60);
    let store = folder.store();
    assert_eq!(claimable(&*store, a).await, ["0", "2", "3", "4"]);
    assert!(claimable(&*store, b).await.is_empty());
    store.flush().await.unwrap();
    for target in [a, b] {
        let letters = store.dead_letters(target, None, 9).await.unwrap();
        assert_eq!(letters.len(), 1);
        assert_eq!(letters[0].event.number(), ids[1].number());
    }
    assert_eq!(store.depth(b), Depth { pending: 1, in_flight: 1, dead: 1, retrying: 0 });
    assert_eq!(store.depth(a).pending, 5, "four and the end of the list");
}

#[tokio::test]
async fn an_unknown_version_is_refused() {
    let folder = Folder::new();
    drop(folder.store());
    let log = &folder.segments()[0];
    let file = std::fs::OpenOptions::new().write(true).open(log).unwrap();
    file.write_all_at(&[VERSION + 1], 8).unwrap();
    let refused = Embedded::open(folder.settings()).unwrap_err();
    assert!(
        matches!(&refused, OpenError::VersionUnknown { segment, found, supported: VERSION }
            if segment == log && *found == VERSION + 1),
        "{refused}"
    );
}

/// Writes registry frames for these names at the end of the log, as a process of that epoch would
/// that had `durable` of it on disk; answers where each of them is.
fn write_frames(folder: &Folder, names: &[&str], durable: u64, epoch: u32) -> Vec<(u64, u64)> {
    let log = &folder.segments()[0];
    let mut bytes = std::fs::read(log).unwrap();
    let salt = SegmentHeader::from_bytes(&bytes).unwrap().identity.salt();
    let mut places = Vec::new();
    for (number, name) in (0u16..).zip(names) {
        let record = Registry { targets: vec![(number, (*name).to_owned())] };
        let mut frame: Frame = frame(Kind::Registry, &record, 64).unwrap();
        let lsn = bytes.len() as u64;
        bytes.extend_from_slice(frame.place(salt, lsn, durable, epoch));
        places.push((lsn, bytes.len() as u64));
    }
    std::fs::write(log, bytes).unwrap();
    places
}

#[tokio::test]
async fn frames_behind_a_torn_one_of_the_same_write_never_come_back() {
    let folder = Folder::new();
    drop(folder.store());
    folder.shorten();
    // Three frames of one write; the middle one did not reach the disk.
    let places = write_frames(&folder, &["aa", "bb", "cc"], 4_096, 1);
    let log = folder.segments()[0].clone();
    let whole = std::fs::read(&log).unwrap();
    flip(&log, places[1].0 + 42);
    let names = |folder: &Folder| {
        let store = folder.store();
        let targets = store.shared.targets.read().unwrap();
        targets.iter().map(|target| target.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&folder), ["aa"]);
    // The next process writes a frame of the same length in its place; then the old one behind it
    // turns up, as if the cut had not reached the disk.
    let store = folder.store();
    register(&*store, &["dd"]).await;
    drop(store);
    let mut bytes = std::fs::read(&log).unwrap();
    assert_eq!(bytes.len() as u64, places[1].1);
    bytes.extend_from_slice(&whole[bytes.len()..]);
    std::fs::write(&log, bytes).unwrap();
    assert_eq!(names(&folder), ["aa", "dd"]);
    assert_eq!(std::fs::metadata(&log).unwrap().len(), places[1].1);
}

#[tokio::test]
async fn a_request_of_a_thousand_events_is_atomic() {
    let folder = Folder::new();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    append(&*store, vec![planned("before", &[a])]).await;
    let ids = append(&*store, (0..1_000).map(|i| planned(i.to_string(), &[a])).collect()).await;
    drop(store);
    folder.delete_index();
    folder.shorten();
    let (from, log) = (offset_of(ids[0]), &folder.segments()[0]);
    let whole = std::fs::read(log).unwrap();
    let step = (whole.len() - usize::try_from(from).unwrap()) / 6;
    for cut in (usize::try_from(from).unwrap()..whole.len()).step_by(step).chain([whole.len()]) {
        let copy = folder.copy();
        std::fs::write(&copy.segments()[0], &whole[..cut]).unwrap();
        let events = if cut == whole.len() { 1_001 } else { 1 };
        assert_eq!(copy.store().depth(a).pending, events, "cut at {cut}");
    }
}
