//! Random damage of all files of a store: what `check` says of the start is what the start does, and what a
//! repair says can be done, can be done.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Queue;
use crate::contract::*;
use crate::embedded::Embedded;
use crate::embedded::tools::{self, Lay, Report, Start, ToolError, Work};

use crate::embedded::format::segment_header::{
    Identity, SEGMENT_HEADER_BYTES, SegmentHeader, file_name,
};
use crate::embedded::tests::support::{Folder, deliver_all, large, make_device, make_fifo};

const SEEDS: u64 = 8;

/// A closed store with three segments and an index.
async fn stored() -> Folder {
    let folder = Folder::new();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    let mut round = 0;
    while folder.segments().len() < 3 {
        round += 1;
        let events = (0..20).map(|i| keyed(&large(&i.to_string()), round, &[a])).collect();
        append(&*store, events).await;
        let some = claim(&*store, a, 15).await;
        settle(&*store, a, &some[..14], delivered()).await;
        settle(&*store, a, &some[14..], retry(now())).await;
    }
    append(&*store, vec![planned("last", &[a])]).await;
    store.close().await.unwrap();
    folder
}

fn files(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, all) } else { all.push(path) }
    }
}

/// Damages the files in one of the ways of a bad disk or a bad hand.
fn damage(folder: &Folder, random: &mut fastrand::Rng) -> String {
    use std::os::unix::fs::FileExt as _;
    let (mut all, segments) = (Vec::new(), folder.segments());
    files(&folder.settings().directory, &mut all);
    all.sort();
    let from = if random.u8(..3) == 0 { &all } else { &segments };
    let path = &from[random.usize(..from.len())];
    if !path.is_file() {
        return "nothing".to_owned();
    }
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let len = file.metadata().unwrap().len();
    // Headers are small, so chance would hardly meet them.
    let at =
        if random.bool() { random.u64(..len.max(1)) } else { random.u64(..len.clamp(1, 5_000)) };
    let what = match random.u8(..10) {
        7 => {
            // Some of them may be next to one another.
            for path in &segments[random.usize(..segments.len())..] {
                if random.bool() {
                    std::fs::remove_file(path).unwrap();
                }
            }
            "a place in a file, and segments removed".to_owned()
        }
        8 => {
            let base = random.u64(..4) << random.u32(19..40);
            let stray = segments[0].with_file_name(file_name(base));
            if stray != segments[0] {
                std::fs::copy(path, stray).unwrap();
            }
            format!("copied to {base}")
        }
        9 => {
            std::fs::remove_file(path).unwrap();
            make_fifo(path);
            "replaced by a FIFO".to_owned()
        }
        0 => {
            std::fs::remove_file(path).unwrap();
            "removed".to_owned()
        }
        1 => {
            file.set_len(at).unwrap();
            format!("cut at {at}")
        }
        2 => {
            std::fs::copy(&segments[random.usize(..segments.len())], path).unwrap();
            "replaced by a segment".to_owned()
        }
        kind => {
            let bytes = 1 << (2 * kind - 6);
            let random_bytes: Vec<u8> = (0..bytes).map(|_| random.u8(..)).collect();
            file.write_all_at(&random_bytes, at).unwrap();
            format!("{bytes} bytes at {at}")
        }
    };
    format!("{} {what}", path.display())
}

fn check(folder: &Folder) -> Result<Report, ToolError> {
    tools::check(&folder.settings().directory, &mut |_, _| {})
}

fn repair(folder: &Folder, give_up: Vec<String>) -> Result<Option<Report>, ToolError> {
    let work = Work { dry_run: false, give_up };
    let done = tools::repair(&folder.settings().directory, &work, &mut |_, _| {})?;
    Ok(done.after)
}

/// Whether a copy of the store starts.
fn starts(folder: &Folder) -> Result<(), String> {
    let copy = folder.copy();
    Embedded::open(copy.settings()).map(drop).map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_repair_and_start_agree_whatever_is_damaged() {
    let whole = stored().await;
    let seeds = std::env::var("DISPATCHER_SEEDS").ok().and_then(|n| n.parse().ok());
    for seed in 0..seeds.unwrap_or(SEEDS) {
        let mut random = fastrand::Rng::with_seed(seed);
        let folder = whole.copy();
        let what: Vec<_> = (0..random.usize(1..4)).map(|_| damage(&folder, &mut random)).collect();
        let what = format!("seed {seed}: {what:?}");
        agree(&folder, &what);
        if starts(&folder).is_ok() {
            nothing_is_left(&folder, &what).await;
        }
    }
}

/// All that waits is delivered or becomes a dead letter.
async fn nothing_is_left(folder: &Folder, what: &str) {
    nothing_is_left_of(folder.store(), folder, what).await;
}

async fn nothing_is_left_of(store: Arc<Embedded>, folder: &Folder, what: &str) {
    let a = register(&*store, &["a"]).await[0];
    deliver_all(&store, a).await;
    assert_eq!(store.depth(a).pending, 0, "{what}");
    store.close().await.unwrap();
    drop(store);
    assert_eq!(folder.store().depth(a).pending, 0, "{what}: after another start");
}

fn agree(folder: &Folder, what: &str) {
    let started = starts(folder);
    let report = match check(folder) {
        Ok(report) => report,
        Err(error) => {
            let named = error.to_string().contains("a pipe (FIFO), not a file");
            assert!(named || !matches!(error, ToolError::Io { .. }), "{what}: {error}");
            assert!(
                started.is_err() || matches!(error, ToolError::NoLog { .. }),
                "{what}: {error}"
            );
            return;
        }
    };
    let works = matches!(report.start, Start::Works);
    assert_eq!(works, started.is_ok(), "{what}: {report:?} but {started:?}");
    let Ok(after) = repair(folder, Vec::new()) else { panic!("{what}: it cannot be repaired") };
    let after = after.unwrap_or(report);
    let started = starts(folder);
    assert_eq!(
        matches!(after.start, Start::Works),
        started.is_ok(),
        "{what}: {after:?} {started:?}"
    );
    assert!(after.damages.iter().all(|damage| !damage.repairable), "{what}: again: {after:?}");
    if after.damages.is_empty() {
        assert!(started.is_ok(), "{what}: nothing to repair, but {started:?}");
        return;
    }
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    let mut names: Vec<_> = after.damages.iter().map(|damage| name(&damage.segment)).collect();
    names.dedup();
    match repair(folder, names) {
        Ok(last) => {
            let started = starts(folder);
            assert!(started.is_ok(), "{what}: given up, but {started:?} {last:?}");
        }
        Err(error) => assert!(matches!(error, ToolError::Alone { .. }), "{what}: {error}"),
    }
}

/// What `check` says can be done can be done: repair, give up, or neither if no segment is left that knows the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_advice_for_segments_that_a_repair_cannot_repair_works() {
    let whole = stored().await;
    let count = whole.segments().len();
    type Spoil = fn(&[PathBuf]);
    let overlaps: Spoil = |segments| {
        let between = segments[0].with_file_name(file_name((1 << 20) + 4_096));
        std::fs::copy(&segments[1], between).unwrap();
    };
    let twice: Spoil = |segments| {
        std::fs::copy(&segments[1], &segments[2]).unwrap();
    };
    let foreign: Spoil = |segments| {
        // The store and its identity are another one.
        let mut bytes = std::fs::read(&segments[1]).unwrap();
        let header = SegmentHeader::from_bytes(&bytes).unwrap();
        let identity = Identity { uuid: !header.identity.uuid, ..header.identity };
        let header = SegmentHeader { identity, ..header }.to_bytes();
        bytes[..header.len()].copy_from_slice(&header);
        std::fs::write(&segments[1], bytes).unwrap();
    };
    let spoilt = [("overlapping", overlaps), ("there twice", twice), ("of another store", foreign)];
    for (what, spoil) in spoilt {
        let folder = whole.copy();
        spoil(&folder.segments());
        agree(&folder, what);
        assert!(starts(&folder).is_ok(), "{what}");
    }
    for set in 1..1u32 << count {
        let folder = whole.copy();
        for (place, path) in folder.segments().iter().enumerate() {
            if set & (1 << place) != 0 {
                std::fs::write(path, b"").unwrap();
            }
        }
        let what = format!("emptied: {set:03b}");
        let refused = starts(&folder).unwrap_err();
        assert!(refused.contains("store repair --give-up"), "{what}: {refused}");
        let report = check(&folder).unwrap();
        let all = set.count_ones() as usize == count;
        assert_eq!(report.can_give_up, !all, "{what}: {report:?}");
        agree(&folder, &what);
        assert_eq!(starts(&folder).is_ok(), !all, "{what}");
    }
}

/// What the start says of the store itself, with its folder named as it is.
fn refusal(folder: &Folder) -> String {
    let copy = folder.copy();
    let said = Embedded::open(copy.settings()).unwrap_err().to_string();
    let [here, there] = [folder, &copy].map(|folder| folder.settings().directory);
    said.replace(&*there.to_string_lossy(), &here.to_string_lossy())
}

#[tokio::test]
async fn a_store_without_its_log_or_with_another_lock_has_the_verdict_of_its_start() {
    let whole = stored().await;
    for what in [
        "log gone",
        "log a file",
        "log a pipe",
        "lock a pipe",
        "lock a folder",
        "lock a device",
        "log and index gone",
    ] {
        let folder = whole.copy();
        let settings = folder.settings();
        let (log, lock) = (settings.log_folder(), settings.lock_file());
        if what.starts_with("log") {
            std::fs::remove_dir_all(&log).unwrap();
        } else {
            std::fs::remove_file(&lock).unwrap();
        }
        match what {
            "log a file" => std::fs::write(&log, "a file").unwrap(),
            "log a pipe" => make_fifo(&log),
            "lock a pipe" => make_fifo(&lock),
            "lock a device" => make_device(&lock),
            "lock a folder" => std::fs::create_dir(&lock).unwrap(),
            "log and index gone" => folder.delete_index(),
            _ => {}
        }
        let said = refusal(&folder);
        let report = check(&folder).unwrap();
        let Start::Fails(why) = &report.start else { panic!("{what}: {report:?}") };
        assert_eq!(*why, said, "{what}");
        assert!(!report.is_clean() && report.damages_count == 0, "{what}: {report:?}");
        let work = Work { dry_run: true, give_up: Vec::new() };
        match tools::repair(&settings.directory, &work, &mut |_, _| {}) {
            Ok(dry) => {
                assert!(matches!(dry.before.start, Start::Fails(dry) if dry == said), "{what}");
            }
            Err(error) => panic!("{what}: {error}"),
        }
        match tools::repair(&settings.directory, &Work::default(), &mut |_, _| {}) {
            Ok(done) => assert!(done.after.is_none(), "{what}: {done:?}"),
            // The lock is taken first.
            Err(error) => assert_eq!(error.to_string(), said, "{what}"),
        }
        assert_eq!(refusal(&folder), said, "{what}: nothing was changed");
    }
    // A folder of something else is named as such.
    let other = tempfile::tempdir().unwrap();
    let refused = tools::check(other.path(), &mut |_, _| {}).unwrap_err();
    assert!(matches!(refused, ToolError::NoLog { .. }), "{refused}");
}

/// Whole headers of zeros, as a block that a disk forgot.
#[tokio::test]
async fn a_header_of_zeros_is_said_to_be_the_same_by_check_dry_run_repair_and_start() {
    use std::os::unix::fs::FileExt as _;
    let whole = stored().await;
    for place in 0..whole.segments().len() {
        for bytes in [SEGMENT_HEADER_BYTES, 512] {
            let what = format!("{bytes} bytes of segment {place}");
            let folder = whole.copy();
            let path = folder.segments()[place].clone();
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.write_all_at(&vec![0; usize::try_from(bytes).unwrap()], 0).unwrap();
            let said = refusal(&folder);
            let report = check(&folder).unwrap();
            let [damage] = &report.damages[..] else { panic!("{what}: {report:?}") };
            assert!(damage.segment == path && damage.repairable, "{what}: {report:?}");
            assert!(
                matches!(damage.lay, Lay::Header) && report.damages_count == 1,
                "{what}: {report:?}"
            );
            let Start::Fails(why) = &report.start else { panic!("{what}: {report:?}") };
            assert!(said.starts_with(why.as_str()), "{what}: {why} and {said}");
            for dry_run in [true, false] {
                let work = Work { dry_run, give_up: Vec::new() };
                let done = tools::repair(&folder.settings().directory, &work, &mut |_, _| {});
                let done = done.unwrap();
                assert_eq!(format!("{:?}", done.before), format!("{report:?}"), "{what}");
                assert_eq!(done.after.is_none(), dry_run, "{what}");
                assert!(done.after.is_none_or(|after| after.is_clean()), "{what}");
            }
            let (here, there) = (folder.store(), whole.copy());
            let a = dispatcher_model::TargetNumber(0);
            assert_eq!(here.depth(a), there.store().depth(a), "{what}: something is lost");
            nothing_is_left_of(here, &folder, &what).await;
        }
    }
}
