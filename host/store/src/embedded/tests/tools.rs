//! The tools for a store's folder: what check finds, what a repair leaves, what a backup contains.

use std::path::PathBuf;

use serde_json::Value;

use crate::contract::*;
use crate::embedded::Embedded;
use crate::embedded::format::frame::HEADER_BYTES;
use crate::embedded::tools::{
    self, Damage, DumpOptions, Lay, Meets, Repaired, Report, ToolError, Work,
};
use crate::{Fate, Queue};
use dispatcher_model::{EventId, TargetNumber};

use crate::embedded::tests::support::{Folder, copy_tree, flip, large, offset_of, one_by_one};

fn check(folder: &Folder) -> Report {
    tools::check(&folder.settings().directory, &mut |_, _| {}).unwrap()
}

fn repair(folder: &Folder) -> Repaired {
    tools::repair(&folder.settings().directory, &Work::default(), &mut |_, _| {}).unwrap()
}

fn only(report: &Report) -> &Damage {
    assert_eq!(report.damages.len(), 1, "{report:?}");
    &report.damages[0]
}

fn dump(folder: &Folder, options: &DumpOptions) -> Vec<Value> {
    let mut lines = Vec::new();
    tools::dump(&folder.settings().directory, options, &mut |_, _| {}, &mut |line| {
        lines.push(line);
        true
    })
    .unwrap();
    lines
}

/// A closed store with two targets: `a` has taken nothing, `b` everything.
async fn stored(folder: &Folder, count: usize) -> Vec<EventId> {
    let store = folder.store();
    let [a, b] = register(&*store, &["a", "b"]).await[..] else { panic!() };
    let mut ids = Vec::new();
    for i in 0..count {
        ids.extend(append(&*store, vec![planned(i.to_string(), &[a, b])]).await);
    }
    let taken = claim(&*store, b, count).await;
    settle(&*store, b, &taken, delivered()).await;
    store.close().await.unwrap();
    ids
}

/// The same in several segments, 50 large events a request.
async fn stored_in_segments(folder: &Folder) -> Vec<EventId> {
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    let mut ids = Vec::new();
    for i in 0..14 {
        let events = (0..50).map(|j| planned(large(&format!("{i}.{j}")), &[a])).collect();
        ids.extend(append(&*store, events).await);
    }
    store.close().await.unwrap();
    assert!(folder.segments().len() >= 3);
    ids
}

#[tokio::test]
async fn check_finds_no_damage_in_a_sound_store() {
    let folder = Folder::new();
    let ids = stored(&folder, 5).await;
    let report = check(&folder);
    assert!(report.is_clean() && !report.running, "{report:?}");
    assert_eq!((report.segments, report.events), (1, 5));
    assert_eq!(report.newest_event.unwrap().0, ids[4]);
    let nothing = repair(&folder);
    assert!(nothing.after.is_none() && !nothing.index_removed, "{nothing:?}");
    folder.delete_index();
    assert!(check(&folder).is_clean());
    let store = folder.store();
    let report = check(&folder);
    assert!(report.is_clean() && report.running, "{report:?}");
    let refused = tools::repair(&folder.settings().directory, &Work::default(), &mut |_, _| {});
    assert!(matches!(refused, Err(ToolError::Running { .. })), "{refused:?}");
    drop(store);
}

#[tokio::test]
async fn check_reports_a_foreign_index_and_repair_removes_it() {
    let (folder, other) = (Folder::new(), Folder::new());
    let ids = stored(&folder, 3).await;
    stored(&other, 4).await;
    folder.delete_index();
    copy_tree(&other.settings().index_folder(), &folder.settings().index_folder());
    let report = check(&folder);
    assert!(!report.is_clean() && report.damages.is_empty(), "{report:?}");
    let repaired = repair(&folder);
    assert!(repaired.index_removed && repaired.after.unwrap().is_clean());
    let store = folder.store();
    assert_eq!(claimable(&*store, register(&*store, &["a"]).await[0]).await.len(), ids.len());
}

#[tokio::test]
async fn repair_corrects_a_single_wrong_bit() {
    for (what, at) in [("header", 17), ("length", 9), ("payload", HEADER_BYTES as u64 + 30)] {
        let folder = Folder::new();
        let ids = stored(&folder, 5).await;
        folder.delete_index();
        let (log, place) = (folder.segments()[0].clone(), offset_of(ids[2]));
        let whole = std::fs::read(&log).unwrap();
        flip(&log, place + at);
        let report = check(&folder);
        let damage = only(&report);
        assert_eq!((&damage.segment, damage.offset), (&log, place), "{what}");
        assert_eq!(
            (&damage.lay, damage.meets),
            (&Lay::OneBit { kind: "request" }, Some(Meets::Start))
        );
        assert!(damage.concerned.is_empty(), "{what}");
        let after = repair(&folder).after.unwrap();
        assert!(after.is_clean() && after.repaired == 0, "{what}: {after:?}");
        assert!(std::fs::read(&log).unwrap() == whole, "{what}");
        let store = folder.store();
        let a = register(&*store, &["a"]).await[0];
        assert_eq!(claimable(&*store, a).await, ["0", "1", "2", "3", "4"], "{what}");
    }
}

#[tokio::test]
async fn repair_costs_only_the_damaged_record() {
    for (what, at) in [("header", 17), ("length", 9), ("payload", HEADER_BYTES as u64 + 30)] {
        let folder = Folder::new();
        let ids = stored(&folder, 5).await;
        folder.delete_index();
        let (log, place) = (folder.segments()[0].clone(), offset_of(ids[2]));
        flip(&log, place + at);
        flip(&log, place + at + 1);
        let damaged = std::fs::read(&log).unwrap();
        let report = check(&folder);
        let damage = only(&report);
        assert_eq!((&damage.segment, damage.offset), (&log, place), "{what}");
        assert_eq!(damage.offset + damage.bytes, offset_of(ids[3]), "{what}");
        assert_eq!(damage.meets, Some(Meets::Start), "{what}");
        let names: Vec<_> = damage.concerned.iter().map(|one| one.target.as_str()).collect();
        assert_eq!(names, ["a"], "{what}: b has read beyond it");
        let Lay::Request { events } = &damage.lay else { panic!("{what}: {damage:?}") };
        assert!(
            what == "payload" || events == &ids[2..3],
            "{what}: its content is whole: {events:?}"
        );
        let dry_run = Work { dry_run: true, ..Work::default() };
        let dry = tools::repair(&folder.settings().directory, &dry_run, &mut |_, _| {}).unwrap();
        assert!(dry.after.is_none(), "{what}");
        assert_eq!(std::fs::read(&log).unwrap(), damaged, "a dry run changes nothing");

        let repaired = repair(&folder);
        let after = repaired.after.unwrap();
        assert!(after.is_clean() && after.repaired == 1, "{what}: {after:?}");
        let kept = repaired.kept[0].clone().unwrap();
        let bytes = usize::try_from(place).unwrap()..usize::try_from(place + damage.bytes).unwrap();
        assert_eq!(std::fs::read(kept).unwrap(), &damaged[bytes], "{what}");
        assert!(repair(&folder).after.is_none(), "a second repair has nothing to do");

        for round in 0..2 {
            let store = folder.store();
            let [a, b] = register(&*store, &["a", "b"]).await[..] else { panic!() };
            if round == 0 {
                assert_eq!(claimable(&*store, a).await, ["0", "1", "3", "4"], "{what}");
                assert!(claimable(&*store, b).await.is_empty(), "{what}: nothing comes again");
            }
            store.flush().await.unwrap();
            let letters = store.dead_letters(a, None, 9).await.unwrap();
            assert_eq!(letters.len(), 1, "{what}, round {round}");
            assert_eq!(letters[0].event.number(), ids[2].number());
            assert!(letters[0].reason.contains(&format!("byte {place} of")), "{letters:?}");
            assert_eq!(store.dead_letters(b, None, 9).await.unwrap().len(), 0);
            assert_eq!(store.damage(), None, "repaired damage is not reported any more");
            store.close().await.unwrap();
            drop(store);
            folder.delete_index();
        }
        assert!(check(&folder).is_clean(), "{what}");
    }
}

#[tokio::test]
async fn a_lost_record_without_events_makes_no_dead_letter() {
    let folder = Folder::new();
    stored(&folder, 3).await;
    let lines = dump(&folder, &DumpOptions::default());
    let settlements = lines.iter().find(|line| line["kind"] == "settlements").unwrap();
    let place = settlements["offset_bytes"].as_u64().unwrap();
    // Something behind it proves that it was durable.
    let store = folder.store();
    let [a, b] = register(&*store, &["a", "b"]).await[..] else { panic!() };
    append(&*store, vec![planned("later", &[a, b])]).await;
    append(&*store, vec![planned("last", &[a, b])]).await;
    store.close().await.unwrap();
    drop(store);
    folder.delete_index();
    for byte in 1..4 {
        flip(&folder.segments()[0], place + HEADER_BYTES as u64 + byte);
    }
    let report = check(&folder);
    assert!(matches!(only(&report).lay, Lay::Record { kind: "settlements", .. }), "{report:?}");
    assert!(repair(&folder).after.unwrap().is_clean());
    let store = folder.store();
    assert_eq!(store.depth(a).dead + store.depth(b).dead, 0);
    assert_eq!(claimable(&*store, a).await.len(), 5);
    assert_eq!(
        claimable(&*store, b).await.len(),
        5,
        "whether they were taken is not known any more"
    );
    assert_eq!(store.depth(a).dead + store.depth(b).dead, 0);
}

#[tokio::test]
async fn deliveries_with_a_lost_outcome_are_listed() {
    let folder = Folder::new();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    let ids = one_by_one(&store, 5, &[a]).await;
    let taken = claim(&*store, a, 5).await;
    let later = dispatcher_model::Timestamp::from_millis(now().as_millis() + 3_600_000);
    for (range, outcome) in [(0..1, delivered()), (1..3, retry(later)), (3..5, delivered())] {
        settle(&*store, a, &taken[range], outcome).await;
        store.flush().await.unwrap();
    }
    append(&*store, vec![planned("last", &[a])]).await;
    store.close().await.unwrap();
    drop(store);
    let lines = dump(&folder, &DumpOptions::default());
    let places = lines.iter().filter(|line| line["kind"] == "settlements");
    let places: Vec<u64> = places.map(|line| line["offset_bytes"].as_u64().unwrap()).collect();
    assert_eq!(places.len(), 3);
    for byte in 1..4 {
        flip(&folder.segments()[0], places[1] + HEADER_BYTES as u64 + byte);
    }
    let report = check(&folder);
    assert_eq!(
        (only(&report).meets, only(&report).unsure.len()),
        (Some(Meets::Nothing), 0),
        "{report:?}"
    );
    folder.delete_index();
    let report = check(&folder);
    let [unsure] = &only(&report).unsure[..] else { panic!("{report:?}") };
    assert_eq!((unsure.target.as_str(), &unsure.events[..]), ("a", &ids[1..3]));
    assert!(repair(&folder).after.unwrap().is_clean());
    let store = folder.store();
    assert_eq!(store.replay(a, unsure.events.clone()).await.unwrap(), 2);
    let mut given = claimable(&*store, a).await;
    given.sort();
    assert_eq!(given, ["1", "2", "last"]);
}

#[tokio::test]
async fn the_number_of_a_target_with_a_lost_name_is_not_reused() {
    let folder = Folder::new();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    for name in ["0", "1"] {
        append(&*store, vec![planned(name, &[a])]).await;
    }
    store.close().await.unwrap();
    drop(store);
    folder.delete_index();
    // The first record of the log names the target.
    for byte in 20..24 {
        flip(&folder.segments()[0], 4_096 + byte);
    }
    assert!(repair(&folder).after.unwrap().is_clean());
    let store = folder.store();
    let other = register(&*store, &["other"]).await[0];
    assert_ne!(other, a);
    assert_eq!(store.depth(other).pending, 0, "it gets nothing that was for another one");
    append(&*store, vec![planned("its own", &[other])]).await;
    assert_eq!(claimable(&*store, other).await, ["its own"]);
}

#[tokio::test]
async fn repair_restores_headers_and_replaces_missing_files() {
    type Act = fn(&[PathBuf]);
    let damage: [(&str, Act); 5] = [
        ("one bit of a header", |files| flip(&files[1], 30)),
        ("a header is zeros", |files| {
            use std::os::unix::fs::FileExt;
            let file = std::fs::OpenOptions::new().write(true).open(&files[1]).unwrap();
            file.write_all_at(&[0; 4_096], 0).unwrap();
        }),
        ("a file is gone", |files| std::fs::remove_file(&files[1]).unwrap()),
        ("a file was cut short", |files| {
            std::fs::OpenOptions::new()
                .write(true)
                .open(&files[0])
                .unwrap()
                .set_len(300_000)
                .unwrap();
        }),
        ("one bit of the newest checkpoint", |files| flip(files.last().unwrap(), 4_096 + 20)),
    ];
    for (what, damage) in damage {
        let folder = Folder::new();
        let ids = stored_in_segments(&folder).await;
        folder.delete_index();
        let files = folder.segments();
        damage(&files);
        let report = check(&folder);
        assert_eq!(report.damages_count, 1, "{what}: {report:?}");
        let lost = report.damages[0].may_hold_requests();
        let repaired = repair(&folder);
        assert!(repaired.after.as_ref().unwrap().is_clean(), "{what}: {repaired:?}");
        assert_eq!(folder.segments(), files, "{what}");
        let store = folder.store();
        let a = register(&*store, &["a"]).await[0];
        let mut taken = 0;
        while let Ok(Ok(list)) = tokio::time::timeout(
            std::time::Duration::from_millis(300),
            store.claim(a, 1_000, std::time::Duration::from_secs(60)),
        )
        .await
        {
            settle(&*store, a, &list, delivered()).await;
            taken += list.len();
        }
        store.flush().await.unwrap();
        let dead = store.depth(a).dead;
        assert_eq!((taken < ids.len(), dead), (lost, (ids.len() - taken) as u64), "{what}");
        assert!(taken > ids.len() / 3, "{what}: {taken}");
    }
}

#[tokio::test]
async fn a_backup_made_during_writes_has_all_that_was_acknowledged_before() {
    let folder = Folder::new();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    let mut ids = Vec::new();
    for i in 0..12 {
        let events = (0..50).map(|j| planned(large(&format!("{i}.{j}")), &[a])).collect();
        ids.extend(append(&*store, events).await);
    }
    let directory = folder.settings().directory;
    let mut copies = Vec::new();
    for round in 0..3 {
        let to = folder.dir.path().join(format!("backup-{round}"));
        let from = directory.clone();
        let copying = tokio::task::spawn_blocking(move || {
            (tools::backup(&from, &to, &mut |_, _| {}).unwrap(), to)
        });
        let before = ids.len();
        while !copying.is_finished() {
            ids.extend(append(&*store, vec![planned(large("more"), &[a])]).await);
        }
        copies.push((before, copying.await.unwrap()));
    }
    drop(store);
    for (before, (done, to)) in copies {
        assert!(done.segments > 1 && done.linked == done.segments - 1, "{done:?}");
        let copy = Folder::new();
        copy_tree(&to, &copy.settings().directory);
        assert!(check(&copy).is_clean());
        let store = copy.store();
        for id in &ids[..before] {
            assert!(store.event(*id).await.unwrap().is_some(), "{id} is missing");
        }
        let first = store.fate(ids[0]).await.unwrap().unwrap();
        assert_eq!(first.fates[0].1, Fate::Waiting);
        assert!(store.depth(TargetNumber(0)).pending >= before as u64);
    }
}

#[tokio::test]
async fn a_backup_leaves_out_zeros_and_refuses_an_existing_folder() {
    let folder = Folder::new();
    stored(&folder, 3).await;
    folder.shorten();
    let directory = folder.settings().directory;
    let log = folder.segments()[0].clone();
    let end = std::fs::metadata(&log).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(1 << 20).unwrap();
    let to = folder.dir.path().join("backup");
    let backup = || tools::backup(&directory, &to, &mut |_, _| {});
    let done = backup().unwrap();
    assert_eq!((done.segments, done.linked, done.bytes), (1, 0, end));
    assert!(matches!(backup(), Err(ToolError::NotEmpty { .. })));
    std::os::unix::fs::symlink(&directory, directory.with_file_name("link")).unwrap();
    for inside in ["", "backup", "log/deep/backup", "../link/backup", "log/../backup"] {
        let refused = tools::backup(&directory, &directory.join(inside), &mut |_, _| {});
        assert!(matches!(refused, Err(ToolError::Inside { .. })), "{inside}: {refused:?}");
        assert!(!directory.join("backup.partial").exists(), "{inside}");
    }
    std::fs::remove_dir_all(&to).unwrap();
    std::fs::create_dir(folder.dir.path().join("backup.partial")).unwrap();
    assert!(matches!(backup(), Err(ToolError::Leftover { .. })));
    assert!(!to.exists());
}

#[tokio::test]
async fn a_repair_does_not_change_a_backup_that_shares_the_file() {
    let folder = Folder::new();
    let ids = stored_in_segments(&folder).await;
    folder.delete_index();
    let log = folder.segments()[0].clone();
    flip(&log, offset_of(ids[0]) + 60);
    flip(&log, offset_of(ids[0]) + 61);
    let to = folder.dir.path().join("backup");
    tools::backup(&folder.settings().directory, &to, &mut |_, _| {}).unwrap();
    let shared = to.join("log").join(log.file_name().unwrap());
    let before = std::fs::read(&shared).unwrap();
    assert!(repair(&folder).after.unwrap().is_clean());
    assert!(std::fs::read(&shared).unwrap() == before);
}

#[tokio::test]
async fn a_dump_shows_each_record_and_bodies_only_on_request() {
    let folder = Folder::new();
    let ids = stored(&folder, 2).await;
    let lines = dump(&folder, &DumpOptions::default());
    let kinds: Vec<_> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["registry", "request", "request", "settlements"]);
    let event = &lines[1]["events"][0];
    assert_eq!(event["event"], ids[0].to_string());
    assert_eq!(event["targets"], serde_json::json!(["a", "b"]));
    assert!(event.get("data").is_none() && lines[1].get("headers").is_none());
    assert_eq!(lines[3]["targets"][0]["target"], "b");
    assert_eq!(lines[3]["targets"][0]["delivered"].as_array().unwrap().len(), 2);
    let from_lsn = offset_of(ids[1]);
    let lines = dump(&folder, &DumpOptions { bodies: true, from_lsn, ..DumpOptions::default() });
    assert_eq!(lines.len(), 2);
    assert!(lines[0]["events"][0]["data"].is_string() && lines[0]["headers"].is_object());
    let none = DumpOptions { segment: Some("seg-1".into()), ..DumpOptions::default() };
    let refused = tools::dump(&folder.settings().directory, &none, &mut |_, _| {}, &mut |_| true);
    assert!(matches!(refused, Err(ToolError::NoSegment { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_and_checks_are_whole_while_segments_are_removed_and_reused() {
    const BACKUPS_MAX: usize = 5_000;
    const SEGMENTS: usize = 12;
    let folder = Folder::new();
    let mut settings = folder.settings();
    settings.retention_bytes = Some(5 << 20);
    let store = Embedded::open(settings).unwrap();
    let a = register(&*store, &["a"]).await[0];
    let (directory, to) = (folder.settings().directory, folder.dir.path().join("backup"));
    let looking = tokio::task::spawn_blocking(move || {
        let mut bases = std::collections::BTreeSet::new();
        for _ in 0..BACKUPS_MAX {
            let report = tools::check(&directory, &mut |_, _| {}).unwrap();
            assert!(report.is_clean(), "{report:?}");
            tools::backup(&directory, &to, &mut |_, _| {}).unwrap();
            let report = tools::check(&to, &mut |_, _| {}).unwrap();
            assert!(report.is_clean(), "{report:?}");
            let names = std::fs::read_dir(to.join("log")).unwrap();
            bases.extend(names.map(|name| name.unwrap().file_name()));
            // Its links must not keep every file from being used again.
            std::fs::remove_dir_all(&to).unwrap();
            if bases.len() >= SEGMENTS {
                break;
            }
        }
        bases.len()
    });
    while !looking.is_finished() {
        let events = (0..20).map(|_| planned(large("x"), &[a])).collect();
        // A full log refuses until a segment is removed.
        if store.append(request(events)).await.is_ok() {
            let taken = claim(&*store, a, 20).await;
            settle(&*store, a, &taken, delivered()).await;
        }
        tokio::task::yield_now().await;
    }
    assert!(looking.await.unwrap() >= SEGMENTS, "segments should have been removed meanwhile");
    assert!(folder.segments().len() <= 6, "{:?}", folder.segments());
}
