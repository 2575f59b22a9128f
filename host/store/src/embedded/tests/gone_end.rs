//! Newest files that are gone together with the index: the file before them says that they were there.

use crate::Queue;
use crate::contract::*;
use crate::embedded::format::segment_header::{ENDING_AT, SegmentHeader};
use crate::embedded::log::ending::clear;
use crate::embedded::platform::disk::DiskFile;
use crate::embedded::tools::{self, Start};
use crate::embedded::{Embedded, OpenError};
use dispatcher_model::TargetNumber;
use std::fs::File;
use std::path::Path;

use crate::embedded::tests::gone_beginning::{all_accounted, check, repair, stored};
use crate::embedded::tests::support::{Folder, offset_of};

fn header(path: &Path) -> SegmentHeader {
    SegmentHeader::from_bytes(&std::fs::read(path).unwrap()).unwrap()
}

fn ended_at(path: &Path) -> Option<u64> {
    header(path).ended_at(&std::fs::read(path).unwrap())
}

fn writable(path: &Path) -> File {
    File::options().read(true).write(true).open(path).unwrap()
}

#[tokio::test]
async fn newest_segments_that_are_gone_with_the_index_are_a_loss() {
    let (whole, ids) = stored(5).await;
    for gone in 1..5 {
        let what = format!("{gone} gone");
        let folder = whole.copy();
        let segments = folder.segments();
        let (left, newest) = segments.split_at(segments.len() - gone);
        newest.iter().for_each(|path| std::fs::remove_file(path).unwrap());
        folder.delete_index();
        for _ in 0..2 {
            let refused = Embedded::open(folder.settings()).unwrap_err();
            let last = left.last().unwrap();
            let named = matches!(&refused, OpenError::NoEnd { segment } if segment == last);
            assert!(named && refused.to_string().contains("dispatcher store repair"), "{refused}");
        }
        let report = check(&folder);
        assert!(matches!(report.start, Start::Fails(_)), "{what}: {report:?}");
        let bad: Vec<_> = report.damages.iter().map(|damage| &damage.segment).collect();
        assert_eq!(bad, [&newest[0]], "{what}");
        let after = repair(&folder, Vec::new()).after.unwrap();
        assert!(after.is_clean() && matches!(after.start, Start::Works), "{what}: {after:?}");
        assert!(repair(&folder, Vec::new()).after.is_none(), "{what}: nothing more to repair");
        let end = (left.len() as u64) << 20;
        let known: Vec<_> = ids.iter().copied().filter(|id| offset_of(*id) < end).collect();
        all_accounted(&folder, &known, false, &what).await;
        let store = folder.store();
        let letters = store.dead_letters(TargetNumber(0), None, 9).await.unwrap();
        let [letter] = &letters[..] else { panic!("{what}: {letters:?}") };
        assert!(letter.reason.contains("how many deliveries that were is not known"), "{letter:?}");
    }
}

/// A crash may come between a new segment and the mark in the one before it; an earlier program makes none.
#[tokio::test]
async fn a_start_marks_the_segment_before_the_newest() {
    let (folder, _) = stored(3).await;
    let segments = folder.segments();
    let ends: Vec<_> = segments.iter().map(|path| ended_at(path)).collect();
    assert!(ends[0].is_some() && ends[2].is_none(), "{ends:?}");
    assert_eq!(ends[1], Some(header(&segments[2]).prev_end));
    clear(&writable(&segments[1])).unwrap();
    assert_eq!(ended_at(&segments[1]), None);
    drop(folder.store());
    assert_eq!(ended_at(&segments[1]), ends[1]);
}

#[tokio::test]
async fn a_backup_ends_where_it_ends_and_hides_no_loss() {
    let (folder, ids) = stored(3).await;
    let directory = folder.settings().directory;
    let newest = folder.segments().pop().unwrap();
    let copy_to = |name: &str, meanwhile: &dyn Fn()| {
        let copy = Folder::new();
        let to = copy.settings().directory;
        let done = tools::backup(&directory, &to, &mut |_, _| meanwhile());
        (copy, done.unwrap_or_else(|error| panic!("{name}: {error}")))
    };
    // The log goes on in a new segment after the list of segments was read.
    let mark = header(&newest).ending(header(&newest).base + folder.end());
    let marks = || {
        DiskFile::write_all_at(&writable(&newest), &mark, ENDING_AT as u64).unwrap();
    };
    let (copy, done) = copy_to("a log that goes on", &marks);
    assert!(ended_at(&newest).is_some() && done.damages == 0);
    all_accounted(&copy, &ids, false, "a backup").await;
    // Now the next one is missing.
    let (copy, done) = copy_to("a log without its end", &|| {});
    assert_eq!(done.damages, 1);
    assert!(matches!(Embedded::open(copy.settings()), Err(OpenError::NoEnd { .. })));
}

/// Nothing of it is left but the file of the lock.
#[tokio::test]
async fn a_folder_whose_log_and_index_are_gone_is_not_taken_for_a_new_one() {
    let folder = Folder::new();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    append(&*store, vec![planned("1", &[a])]).await;
    drop(store);
    for path in folder.segments() {
        std::fs::remove_file(path).unwrap();
    }
    folder.delete_index();
    for _ in 0..2 {
        let refused = Embedded::open(folder.settings()).unwrap_err();
        assert!(matches!(refused, OpenError::NoLog { .. }), "{refused}");
    }
    std::fs::remove_file(folder.settings().lock_file()).unwrap();
    drop(folder.store());
}
