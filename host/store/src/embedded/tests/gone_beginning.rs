//! Files of the log that a person took away or put there: the oldest ones, those that are given up, and what does not
//! belong to the log. What is lost is counted, and nothing waits for ever.

use std::path::Path;

use crate::contract::*;
use crate::embedded::tools::{self, Repaired, Report, Start, ToolError, Work};
use crate::embedded::{Embedded, OpenError};
use crate::{Depth, Queue};
use dispatcher_model::{EventId, TargetNumber};

use crate::embedded::format::segment_header::{
    Flags, SEGMENT_HEADER_BYTES, SegmentHeader, file_name,
};
use crate::embedded::tests::gate::{gated, pass};
use crate::embedded::tests::support::{
    Folder, deliver_all, dump, large, make_fifo, offset_of, until,
};

/// A killed store with so many segments, and its events for `a`, of which the third of the first segment waits for a
/// retry; `b` has taken everything.
pub(super) async fn stored(segments: usize) -> (Folder, Vec<EventId>) {
    let folder = Folder::new();
    let store = folder.store();
    let [a, b] = register(&*store, &["a", "b"]).await[..] else { panic!() };
    let mut ids = Vec::new();
    let round = async |ids: &mut Vec<EventId>| {
        let events = (0..20).map(|i| planned(large(&i.to_string()), &[a, b])).collect();
        ids.extend(append(&*store, events).await);
        let some = claim(&*store, b, 20).await;
        settle(&*store, b, &some, delivered()).await;
    };
    round(&mut ids).await;
    let three = claim(&*store, a, 3).await;
    settle(&*store, a, &three[..2], delivered()).await;
    settle(&*store, a, &three[2..], retry(now())).await;
    store.flush().await.unwrap();
    while folder.segments().len() < segments {
        round(&mut ids).await;
    }
    round(&mut ids).await;
    store.flush().await.unwrap();
    drop(store);
    (folder, ids)
}

pub(super) fn check(folder: &Folder) -> Report {
    tools::check(&folder.settings().directory, &mut |_, _| {}).unwrap()
}

pub(super) fn repair(folder: &Folder, give_up: Vec<String>) -> Repaired {
    let work = Work { dry_run: false, give_up };
    tools::repair(&folder.settings().directory, &work, &mut |_, _| {}).unwrap()
}

/// Every delivery to `a` that was not made before is made now or is a dead letter, and nothing is left, also after
/// another start.
pub(super) async fn all_accounted(
    folder: &Folder,
    ids: &[EventId],
    newest_is_lost: bool,
    what: &str,
) {
    let store = folder.store();
    let a = TargetNumber(0);
    let delivered = deliver_all(&store, a).await;
    let depth = store.depth(a);
    assert_eq!((depth.pending, depth.retrying), (0, 0), "{what}");
    let left = ids.len() as u64 - 2;
    // Only the newest segment knows how many its events are.
    let newest = newest_is_lost && delivered < left && depth.dead > 0;
    assert!(
        newest || delivered + depth.dead >= left,
        "{what}: {delivered} and {depth:?} of {left}"
    );
    let newest = append(&*store, vec![planned("new", &[])]).await[0];
    assert!(!ids.contains(&newest), "{what}: a number is given twice");
    store.close().await.unwrap();
    drop(store);
    let report = check(folder);
    assert!(report.is_clean(), "{what}: {report:?}");
    let store = folder.store();
    assert_eq!((store.depth(a).pending, store.depth(a).dead), (0, depth.dead), "{what}");
}

#[tokio::test]
async fn oldest_segments_that_are_gone_are_a_loss() {
    let (whole, ids) = stored(5).await;
    for (gone, index) in [(1, "kept"), (2, "kept"), (4, "kept"), (1, "lost"), (3, "lost")] {
        let what = format!("{gone} gone, the index is {index}");
        let folder = whole.copy();
        let segments = folder.segments();
        segments[..gone].iter().for_each(|path| std::fs::remove_file(path).unwrap());
        if index == "lost" {
            folder.delete_index();
        }
        for _ in 0..2 {
            let refused = Embedded::open(folder.settings()).unwrap_err();
            let first = matches!(&refused, OpenError::NoBeginning { segment } if *segment == segments[gone]);
            assert!(
                first && refused.to_string().contains("dispatcher store repair"),
                "{what}: {refused}"
            );
        }
        let report = check(&folder);
        assert!(matches!(report.start, Start::Fails(_)), "{what}: {report:?}");
        assert_eq!(report.damages_count, 1, "{what}: {report:?}");
        let after = repair(&folder, Vec::new()).after.unwrap();
        assert!(after.is_clean() && matches!(after.start, Start::Works), "{what}: {after:?}");
        assert!(repair(&folder, Vec::new()).after.is_none(), "{what}: nothing more to repair");
        all_accounted(&folder, &ids, false, &what).await;
        let store = folder.store();
        let lost = ids.iter().filter(|id| offset_of(**id) < (gone as u64) << 20).count() as u64;
        let dead = store.depth(TargetNumber(0)).dead;
        // Two were delivered before.
        assert_eq!(dead, lost - 2, "{what}");
        let letters = store.dead_letters(TargetNumber(0), None, 9).await.unwrap();
        assert_eq!(letters.iter().map(|letter| letter.count).sum::<u64>(), dead, "{what}");
        assert_eq!(store.depth(TargetNumber(1)).dead, 0, "{what}: all was delivered");
        assert_eq!(store.damage(), None, "{what}");
    }
}

/// Only the lost beginning had the row: which event it was for is not known.
#[tokio::test]
async fn a_retry_of_a_lost_beginning_is_a_dead_letter_though_its_target_read_on() {
    let whole = Folder::new();
    let store = whole.store();
    let a = register(&*store, &["a"]).await[0];
    append(&*store, vec![planned("first", &[a])]).await;
    let first = claim(&*store, a, 1).await;
    let in_an_hour = now().plus(std::time::Duration::from_secs(3_600));
    settle(&*store, a, &first, retry(in_an_hour)).await;
    while whole.segments().len() < 5 {
        append(&*store, (0..20).map(|i| planned(large(&i.to_string()), &[a])).collect()).await;
        deliver_all(&store, a).await;
    }
    store.close().await.unwrap();
    drop(store);
    std::fs::remove_file(&whole.segments()[0]).unwrap();
    whole.delete_index();
    assert!(repair(&whole, Vec::new()).after.unwrap().is_clean());
    for in_background in [false, true] {
        let folder = whole.copy();
        let store = if in_background {
            let (store, gate) = gated(&folder);
            append(&*store, vec![planned("meanwhile", &[a])]).await;
            deliver_all(&store, a).await;
            assert_eq!(store.depth(a).retrying, 1);
            pass(&gate, &store).await;
            store
        } else {
            folder.store()
        };
        append(&*store, vec![planned("new", &[a])]).await;
        deliver_all(&store, a).await;
        until("the retry is a dead letter", || store.depth(a).dead > 0).await;
        store.flush().await.unwrap();
        let one = Depth { dead: 1, ..Depth::default() };
        assert_eq!(store.depth(a), one);
        let letters = store.dead_letters(a, None, 9).await.unwrap();
        assert_eq!(letters.iter().map(|letter| letter.count).collect::<Vec<_>>(), [1]);
        assert!(letters[0].reason.contains("which event"), "{}", letters[0].reason);
        let kept = dump(&store);
        store.close().await.unwrap();
        drop(store);
        assert!(check(&folder).is_clean());
        folder.delete_index();
        let store = folder.store();
        assert_eq!((store.depth(a), dump(&store)), (one, kept));
    }
}

/// Segments of an earlier program say nothing of where the log begins.
#[tokio::test]
async fn a_log_of_an_earlier_program_begins_with_its_oldest_segment() {
    use std::os::unix::fs::FileExt as _;
    let (folder, _) = stored(4).await;
    let segments = folder.segments();
    for path in &segments {
        let header = SegmentHeader::from_bytes(&std::fs::read(path).unwrap()).unwrap();
        let bytes = SegmentHeader { flags: Flags::default(), ..header }.to_bytes();
        std::fs::File::options().write(true).open(path).unwrap().write_all_at(&bytes, 0).unwrap();
    }
    std::fs::remove_file(&segments[0]).unwrap();
    assert!(matches!(check(&folder).start, Start::Works));
    let store = folder.store();
    let a = TargetNumber(0);
    while folder.segments().len() < 4 {
        append(&*store, (0..50).map(|i| planned(large(&i.to_string()), &[a])).collect()).await;
    }
    drop(store);
    drop(folder.store());
    // From now on it is known.
    std::fs::remove_file(&folder.segments()[0]).unwrap();
    let refused = Embedded::open(folder.settings()).unwrap_err();
    assert!(matches!(refused, OpenError::NoBeginning { .. }), "{refused}");
}

#[tokio::test]
async fn any_segments_but_one_can_be_given_up() {
    let (whole, ids) = stored(4).await;
    let count = whole.segments().len();
    for set in 1..(1 << count) - 1u32 {
        for how in ["emptied", "without its records"] {
            if how != "emptied" && set.count_ones() != 2 {
                continue;
            }
            let what = format!("{how}: {set:04b}");
            let folder = whole.copy();
            let chosen = |place: &usize| set & (1 << place) != 0;
            let segments = folder.segments();
            let names: Vec<String> = (0..count)
                .filter(chosen)
                .map(|place| {
                    if how == "emptied" {
                        std::fs::write(&segments[place], b"").unwrap();
                    } else {
                        without_records(&segments[place]);
                    }
                    segments[place].file_name().unwrap().to_string_lossy().into_owned()
                })
                .collect();
            let done = repair(&folder, names);
            let after = done.after.unwrap();
            assert!(after.is_clean() && matches!(after.start, Start::Works), "{what}: {after:?}");
            assert_eq!(done.given_up.len(), set.count_ones() as usize, "{what}");
            assert!(done.given_up.iter().all(|one| one.was_in_log && one.kept.exists()), "{what}");
            all_accounted(&folder, &ids, chosen(&(count - 1)), &what).await;
        }
    }
}

/// Leaves only its header.
fn without_records(segment: &Path) {
    let file = std::fs::File::options().write(true).open(segment).unwrap();
    let len = file.metadata().unwrap().len();
    file.set_len(SEGMENT_HEADER_BYTES).unwrap();
    file.set_len(len).unwrap();
}

#[tokio::test]
async fn a_whole_segment_is_not_given_up() {
    let (folder, ids) = stored(3).await;
    for index in ["kept", "lost"] {
        if index == "lost" {
            folder.delete_index();
        }
        for path in folder.segments() {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let work = Work { dry_run: false, give_up: vec![name.clone()] };
            let refused = tools::repair(&folder.settings().directory, &work, &mut |_, _| {});
            let named = matches!(&refused, Err(ToolError::Whole { name: said }) if *said == name);
            assert!(named && path.exists(), "{name}, the index is {index}: {refused:?}");
        }
    }
    all_accounted(&folder, &ids, false, "nothing was changed").await;
    assert_eq!(folder.store().depth(TargetNumber(0)).dead, 0);
}

#[tokio::test]
async fn a_segment_outside_the_log_is_taken_away_and_costs_nothing() {
    let (whole, ids) = stored(3).await;
    for base in [(1 << 52) + 4_096, 40 << 20, (3 << 20) + 8_192, (1 << 20) + 512] {
        let (folder, name) = (whole.copy(), file_name(base));
        let stray = folder.settings().log_folder().join(&name);
        std::fs::copy(&folder.segments()[1], &stray).unwrap();
        assert!(Embedded::open(folder.settings()).is_err(), "{name}");
        let report = check(&folder);
        assert!(matches!(report.start, Start::Fails(_)) && !report.is_clean(), "{report:?}");
        assert!(report.damages.iter().any(|damage| damage.segment == stray), "{report:?}");
        let done = repair(&folder, vec![name.clone()]);
        let after = done.after.unwrap();
        assert!(after.is_clean() && matches!(after.start, Start::Works), "{name}: {after:?}");
        assert!(!done.given_up[0].was_in_log && !stray.exists(), "{name}");
        all_accounted(&folder, &ids, false, &name).await;
        assert_eq!(folder.store().depth(TargetNumber(0)).dead, 0, "{name}");
    }
}

/// A restored segment that retention removed before.
#[tokio::test]
async fn a_segment_before_the_beginning_of_the_log_is_taken_away() {
    let (folder, ids) = stored(4).await;
    let (oldest, bytes) =
        (folder.segments()[0].clone(), std::fs::read(&folder.segments()[0]).unwrap());
    let store = folder.store();
    deliver_all(&store, TargetNumber(0)).await;
    store.close().await.unwrap();
    drop(store);
    folder.remove_oldest(2);
    drop(folder.store());
    std::fs::write(&oldest, bytes).unwrap();
    assert!(Embedded::open(folder.settings()).is_err());
    let name = oldest.file_name().unwrap().to_string_lossy().into_owned();
    let done = repair(&folder, vec![name]);
    assert!(done.after.unwrap().is_clean() && !done.given_up[0].was_in_log);
    assert!(ids.len() > 100);
    assert_eq!(folder.store().depth(TargetNumber(0)).dead, 0);
}

/// The link leads to the folder above, so following it would never end.
#[tokio::test]
async fn a_link_to_a_folder_in_the_index_is_not_followed() {
    let folder = Folder::new();
    let store = folder.store();
    store.close().await.unwrap();
    drop(store);
    let link = folder.settings().index_folder().join("elsewhere");
    std::os::unix::fs::symlink("..", &link).unwrap();
    let report = check(&folder);
    let named = report.index.as_ref().is_some_and(|index| index.contains("a link to a folder"));
    assert!(named && matches!(report.start, Start::Works), "{report:?}");
    drop(folder.store());
}

/// A file that is far behind the log, and of another one, does not make it longer.
#[tokio::test]
async fn the_newest_segment_keeps_its_numbers_if_a_foreign_file_is_given_up_with_it() {
    let (folder, ids) = stored(3).await;
    folder.delete_index();
    let foreign = folder.settings().log_folder().join(file_name(40 << 20));
    std::fs::write(&foreign, b"foreign").unwrap();
    let newest = folder.segments()[2].clone();
    without_records(&newest);
    let names = [&newest, &foreign].map(|path| path.file_name().unwrap().to_string_lossy().into());
    let done = repair(&folder, names.to_vec());
    assert!(done.after.unwrap().is_clean());
    let in_log: Vec<bool> = done.given_up.iter().map(|one| one.was_in_log).collect();
    assert_eq!(in_log, [true, false]);
    let store = folder.store();
    let new = append(&*store, vec![planned("new", &[])]).await[0];
    assert!(ids.iter().all(|id| id.number() < new.number()), "a number is given twice");
}

/// A text about one folder, as one about another.
fn renamed(text: String, from: &Folder, to: &Folder) -> String {
    let [from, to] = [from, to].map(|folder| folder.settings().directory);
    text.replace(&*from.to_string_lossy(), &to.to_string_lossy())
}

#[tokio::test]
async fn what_is_not_a_file_is_named_and_nothing_waits_for_it() {
    let (whole, ids) = stored(3).await;
    drop(whole.store());
    let names = |folder: &Folder| {
        let settings = folder.settings();
        let segments = folder.segments();
        let tables = std::fs::read_dir(settings.index_folder()).unwrap().flatten();
        let in_index = tables.map(|entry| entry.path()).find(|path| path.is_file()).unwrap();
        [
            settings.lock_file(),
            settings.index_folder(),
            in_index,
            segments[0].clone(),
            segments[1].clone(),
            segments.last().unwrap().clone(),
            settings.log_folder().join("spare.tmp"),
            settings.log_folder().join("next.tmp"),
        ]
    };
    for place in 0..names(&whole).len() {
        let folder = whole.copy();
        let path = names(&folder)[place].clone();
        let name = path.display().to_string();
        if path.is_dir() {
            std::fs::remove_dir_all(&path).unwrap();
        } else {
            let _ = std::fs::remove_file(&path);
        }
        make_fifo(&path);
        let directory = folder.settings().directory;
        let checked = tools::check(&directory, &mut |_, _| {});
        let copy = folder.copy();
        let started = Embedded::open(copy.settings()).map(drop).map_err(|error| error.to_string());
        if let Err(error) = &started {
            assert!(error.contains("a pipe (FIFO), not a file"), "{name}: {error}");
        }
        let _ =
            tools::dump(&directory, &tools::DumpOptions::default(), &mut |_, _| {}, &mut |_| true);
        let to = folder.dir.path().join("backup");
        let backup = tools::backup(&directory, &to, &mut |_, _| {});
        let report = match checked {
            Ok(report) => report,
            Err(error) => {
                assert!(error.to_string().contains("a pipe (FIFO), not a file"), "{error}");
                assert!(started.is_err(), "{name}");
                continue;
            }
        };
        assert_eq!(matches!(report.start, Start::Works), started.is_ok(), "{name}: {report:?}");
        let bad: Vec<_> = report.damages.iter().map(|damage| &damage.segment).collect();
        let is_segment = folder.segments().contains(&path);
        if let Start::Fails(why) = &report.start
            && path == folder.settings().lock_file()
        {
            assert_eq!(*why, renamed(started.unwrap_err(), &copy, &folder), "{name}");
            continue;
        }
        assert_eq!(bad, if is_segment { vec![&path] } else { vec![] }, "{name}");
        if is_segment {
            assert!(backup.unwrap_err().to_string().contains("a pipe (FIFO)"), "{name}");
            let file = path.file_name().unwrap().to_string_lossy().into_owned();
            let after = repair(&folder, vec![file]).after.unwrap();
            assert!(after.is_clean(), "{name}: {after:?}");
        }
        if path == folder.settings().index_folder() {
            // Until then the daemon works without one.
            std::fs::remove_file(&path).unwrap();
        }
        let newest = is_segment && folder.segments().last() == Some(&path);
        all_accounted(&folder, &ids, newest, &name).await;
    }
}
