//! A file of the log replaced by one that does not belong there: whatever it is and wherever it lies, it is the one that is
//! named, what is advised works, and nothing of the other segments is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::Queue;
use crate::contract::*;
use crate::embedded::Embedded;
use crate::embedded::format::event_number::lsn_of;
use crate::embedded::format::segment_header::VERSION;
use crate::embedded::tests::support::{Folder, large};
use crate::embedded::tools::{self, Repaired, Report, Start, ToolError, Work};
use dispatcher_model::{EventId, TargetNumber};

const SEGMENTS: usize = 4;
const A: TargetNumber = TargetNumber(0);

/// A closed store with so many segments, all of which wait for a target; the events of each segment, and copies of the
/// folder from the time when each segment was the newest.
struct Stored {
    folder: Folder,
    events: BTreeMap<u64, BTreeSet<EventId>>,
    backups: Vec<Folder>,
}

impl Stored {
    async fn with(segments: usize) -> Self {
        let folder = Folder::new();
        let (mut ids, mut backups) = (Vec::new(), Vec::new());
        while backups.len() < segments {
            let store = folder.store();
            let a = register(&*store, &["a"]).await[0];
            while folder.segments().len() <= backups.len() {
                ids.extend(some(&store, a).await);
            }
            ids.extend(some(&store, a).await);
            store.close().await.unwrap();
            drop(store);
            backups.push(folder.copy());
            let store = folder.store();
            // An older backup lacks something.
            ids.extend(some(&store, a).await);
            store.close().await.unwrap();
        }
        let mut events: BTreeMap<u64, BTreeSet<EventId>> = BTreeMap::new();
        for id in ids {
            events.entry(lsn_of(id.number()) >> 20).or_default().insert(id);
        }
        assert_eq!((folder.segments().len(), events.len()), (segments, segments));
        Self { folder, events, backups }
    }
}

async fn some(store: &Embedded, target: TargetNumber) -> Vec<EventId> {
    let one = |i: usize| keyed(&format!("{i} {}", now().as_millis()), i as u64, &[target]);
    let large = |i: usize| planned(large(&i.to_string()), &[target]);
    append(store, (0..10).map(one).chain((0..10).map(large)).collect()).await
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The segment of another store with the same name.
    OtherStore,
    /// The first one of another store.
    FirstOfOther,
    /// One of another store with larger segments.
    Larger,
    /// Another segment of the same store.
    Twice,
    /// The same segment, from when it was the newest.
    OlderBackup,
    /// The same segment of a store that continued from an older backup.
    OtherTime,
    OtherVersion,
}

const KINDS: [Kind; 7] = [
    Kind::OtherStore,
    Kind::FirstOfOther,
    Kind::Larger,
    Kind::Twice,
    Kind::OlderBackup,
    Kind::OtherTime,
    Kind::OtherVersion,
];

/// What the wrong files are taken from.
struct Others {
    other: Stored,
    larger: Folder,
    /// Continued from the oldest backup, after some starts.
    later: Folder,
}

impl Others {
    async fn of(stored: &Stored) -> Self {
        let larger = Folder::new();
        let mut settings = larger.settings();
        settings.segment_bytes = 4 << 20;
        let store = Embedded::open(settings).unwrap();
        let a = register(&*store, &["a"]).await[0];
        some(&store, a).await;
        store.close().await.unwrap();
        let later = stored.backups[0].copy();
        let mut starts = 0;
        while later.segments().len() < SEGMENTS || starts < 20 {
            let store = later.store();
            while starts >= 20 && later.segments().len() < SEGMENTS {
                some(&store, A).await;
            }
            store.close().await.unwrap();
            starts += 1;
        }
        Self { other: Stored::with(SEGMENTS).await, larger, later }
    }

    fn put(&self, kind: Kind, place: usize, folder: &Folder, stored: &Stored) {
        let segments = folder.segments();
        let path = &segments[place];
        let from = match kind {
            Kind::OtherStore => self.other.folder.segments()[place].clone(),
            Kind::FirstOfOther => self.other.folder.segments()[0].clone(),
            Kind::Larger => self.larger.segments()[0].clone(),
            Kind::Twice => segments[(place + 1) % segments.len()].clone(),
            Kind::OlderBackup => stored.backups[place].segments()[place].clone(),
            Kind::OtherTime => self.later.segments()[place].clone(),
            Kind::OtherVersion => {
                let mut bytes = std::fs::read(path).unwrap();
                bytes[8] = VERSION + 2;
                bytes[9] ^= 0xff;
                return std::fs::write(path, bytes).unwrap();
            }
        };
        std::fs::copy(from, path).unwrap();
    }
}

fn check(folder: &Folder) -> Result<Report, ToolError> {
    tools::check(&folder.settings().directory, &mut |_, _| {})
}

fn repair(folder: &Folder, give_up: Vec<String>) -> Result<Repaired, ToolError> {
    let work = Work { dry_run: false, give_up };
    tools::repair(&folder.settings().directory, &work, &mut |_, _| {})
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// The file that the start of a copy names.
fn named(folder: &Folder) -> Option<String> {
    let error = Embedded::open(folder.copy().settings()).err()?;
    Some(error.segment().map_or_else(|| error.to_string(), name))
}

/// Everything that waits, and how many dead letters there are.
async fn readable(folder: &Folder) -> (BTreeSet<EventId>, u64) {
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    let end = append(&*store, vec![planned("the end", &[a])]).await[0];
    let mut ids = BTreeSet::new();
    while !ids.contains(&end) {
        let some = within(store.claim(a, 500, HOUR)).await.unwrap();
        ids.extend(some.iter().map(|delivery| delivery.event.id));
        settle(&*store, a, &some, delivered()).await;
    }
    store.flush().await.unwrap();
    assert_eq!(store.depth(a).pending, 0);
    let dead = store.depth(a).dead;
    store.close().await.unwrap();
    (ids, dead)
}

/// Does what a start, a check and a repair advise, and looks at what is left.
async fn heals(folder: &Folder, wrong: &[PathBuf], stored: &Stored, what: &str) {
    let names: Vec<_> = wrong.iter().map(|path| name(path)).collect();
    let is_tie =
        check(folder).unwrap().damages.iter().any(|damage| damage.what.contains("nothing says"));
    if is_tie {
        // Nothing can know it: both are named, and a person may choose either.
        assert!(
            what.starts_with("OtherStore") && wrong.len() == 2 && what.ends_with("lost"),
            "{what}"
        );
        assert!(repair(folder, names).unwrap().after.unwrap().is_clean(), "{what}");
        return nothing_of_others_is_lost(folder, wrong, stored, what).await;
    }
    let started = named(folder);
    assert!(started.iter().all(|named| names.contains(named)), "{what}: a start names {started:?}");
    let report = check(folder).unwrap();
    let blamed = |report: &Report| -> BTreeSet<String> {
        report.damages.iter().map(|damage| name(&damage.segment)).collect()
    };
    let all: BTreeSet<_> = names.iter().cloned().collect();
    assert_eq!(blamed(&report), all, "{what}: {report:?}");
    assert_eq!(matches!(report.start, Start::Works), started.is_none(), "{what}: {report:?}");
    let good = |path: &&PathBuf| what.starts_with("OtherStore") && !wrong.contains(path);
    for path in folder.segments().iter().filter(good) {
        let refused = repair(folder, vec![name(path)]).map(|done| done.given_up);
        assert!(matches!(refused, Err(ToolError::Whole { .. })), "{what}: {path:?} {refused:?}");
    }
    let after = repair(folder, Vec::new()).unwrap().after.unwrap();
    let left = blamed(&after);
    if !left.is_empty() {
        assert!(left.is_subset(&all) && after.can_give_up, "{what}: {after:?}");
        // One after the other, as they are advised.
        let mut last = after;
        while let Some(one) = blamed(&last).pop_first() {
            let done = repair(folder, vec![one.clone()]).unwrap();
            assert_eq!(done.given_up.len(), 1, "{what}");
            last = done.after.unwrap();
            assert!(!blamed(&last).contains(&one), "{what}: again {last:?}");
        }
        assert!(last.is_clean() || last.damages.is_empty(), "{what}: {last:?}");
    }
    assert_eq!(named(folder), None, "{what}: it does not start");
    nothing_of_others_is_lost(folder, wrong, stored, what).await;
}

async fn nothing_of_others_is_lost(
    folder: &Folder,
    wrong: &[PathBuf],
    stored: &Stored,
    what: &str,
) {
    let (left, dead) = readable(folder).await;
    let names: Vec<_> = wrong.iter().map(|path| name(path)).collect();
    let mut is_all = true;
    for (path, events) in stored.folder.segments().iter().zip(stored.events.values()) {
        let is_whole = events.is_subset(&left);
        let is_wrong = names.contains(&name(path));
        assert!(is_whole || is_wrong, "{what}: {path:?} lost something");
        is_all &= is_whole;
    }
    assert_eq!(dead > 0, !is_all, "{what}: {dead} dead letters");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wrong_file_is_named_and_what_is_advised_loses_nothing_else() {
    let stored = Stored::with(SEGMENTS).await;
    let others = Others::of(&stored).await;
    for kind in KINDS {
        for places in [&[0][..], &[1], &[3], &[0, 1]] {
            for index in ["kept", "lost"] {
                let what = format!("{kind:?} at {places:?}, the index is {index}");
                if kind == Kind::OlderBackup && places.contains(&3) && index == "lost" {
                    // Only the index knows that there was more.
                    continue;
                }
                if kind == Kind::OtherTime && places.len() > 1 {
                    // Several of them fit with one another and the rest: nothing shows that they are others.
                    continue;
                }
                let folder = stored.folder.copy();
                if index == "lost" {
                    folder.delete_index();
                }
                for place in places {
                    others.put(kind, *place, &folder, &stored);
                }
                let wrong: Vec<_> =
                    places.iter().map(|place| folder.segments()[*place].clone()).collect();
                heals(&folder, &wrong, &stored, &what).await;
            }
        }
    }
}
