//! A closed segment that is gone, or that something else has taken the place of, while the store works and after that:
//! everything that meets it names the file and says what to do, and a search finds what remains.

use std::path::Path;

use crate::contract::*;
use crate::embedded::Embedded;
use crate::embedded::tools::Start;
use crate::{Queue, Search, StoreError};
use dispatcher_model::EventId;

use crate::embedded::tests::gone_beginning::{check, repair};
use crate::embedded::tests::support::{Folder, large, make_fifo, offset_of};

const SEGMENTS: usize = 5;

type Change = (&'static str, fn(&Path));

const CHANGES: [Change; 8] = [
    ("removed", |path| std::fs::remove_file(path).unwrap()),
    ("emptied", |path| drop(std::fs::File::create(path).unwrap())),
    ("cut within its header", |path| cut(path, 50)),
    ("cut behind its header", |path| cut(path, 4_100)),
    ("overwritten", |path| std::fs::write(path, vec![7; 1 << 20]).unwrap()),
    ("a copy of the first", |path| {
        let first = path.with_file_name("seg-0000000000000000.log");
        let bytes = std::fs::read(first).unwrap();
        std::fs::write(path, bytes).unwrap();
    }),
    ("a pipe", |path| {
        std::fs::remove_file(path).unwrap();
        make_fifo(path);
    }),
    ("a folder", |path| {
        std::fs::remove_file(path).unwrap();
        std::fs::create_dir(path).unwrap();
    }),
];

fn cut(path: &Path, len: u64) {
    std::fs::File::options().write(true).open(path).unwrap().set_len(len).unwrap();
}

/// Several segments of events, of which the second of each request is a dead letter.
async fn stored() -> (Folder, Vec<EventId>) {
    let folder = Folder::new();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    let mut ids = Vec::new();
    while folder.segments().len() < SEGMENTS {
        let events = (0..20).map(|i| planned(large(&i.to_string()), &[a])).collect();
        ids.extend(append(&*store, events).await);
        let claimed = claim(&*store, a, 20).await;
        settle(&*store, a, &claimed[1..2], dead("no")).await;
        let others: Vec<_> = [&claimed[..1], &claimed[2..]].concat();
        settle(&*store, a, &others, delivered()).await;
    }
    store.close().await.unwrap();
    (folder, ids)
}

/// All that a search finds, how many places it could not read, and why not.
async fn found(store: &Embedded) -> (Vec<EventId>, usize, Vec<String>) {
    let (mut ids, mut places, mut files, mut before) = (Vec::new(), 0, Vec::new(), None);
    loop {
        let wanted = Box::new(|_: &_, _: &_| true);
        let search = Search { before, since: None, wanted, max: 1_000, bytes_max: 1 << 20 };
        let page = within(store.search(search)).await.unwrap();
        ids.extend(page.events.iter().map(|event| event.id));
        places += page.unreadable.len();
        files.extend(page.files.into_iter().map(|(_, why)| why));
        before = page.next;
        if before.is_none() {
            ids.sort_unstable();
            return (ids, places, files);
        }
    }
}

fn names(text: &str, path: &Path, what: &str) {
    assert!(text.contains(&*path.file_name().unwrap().to_string_lossy()), "{what}: {text}");
}

#[tokio::test]
async fn whatever_meets_a_segment_that_is_gone_names_it_and_the_rest_is_found() {
    let (whole, ids) = stored().await;
    for (change, make) in CHANGES {
        for place in [0, 2, SEGMENTS - 2] {
            let what = format!("segment {place}: {change}");
            if change == "a copy of the first" && place == 0 {
                continue;
            }
            let folder = whole.copy();
            let path = folder.segments()[place].clone();
            let store = folder.store();
            make(&path);
            let is_there = |id: &&EventId| offset_of(**id) >> 20 != place as u64;
            let (there, lost): (Vec<&EventId>, Vec<&EventId>) = ids.iter().partition(is_there);

            let (found, places, files) = found(&store).await;
            assert_eq!(found.iter().collect::<Vec<_>>(), there, "{what}");
            assert!(places > 0, "{what}");
            if ["removed", "a pipe", "a folder"].contains(&change) {
                assert!(!files.is_empty(), "{what}");
                for why in files {
                    names(&why, &path, &what);
                    assert!(why.contains("`dispatcher store check` says what to do"), "{why}");
                }
            }
            for unread in [store.fate(*lost[0]).await.err(), store.event(*lost[0]).await.err()] {
                let unread = unread.expect(&what);
                names(&unread.to_string(), &path, &what);
                let is_said =
                    matches!(unread, StoreError::ReadLog { .. } | StoreError::Unreadable { .. });
                assert!(is_said, "{what}: {unread:?}");
            }
            let letters = store.dead_letters(dispatcher_model::TargetNumber(0), None, 999).await;
            let letters = letters.unwrap();
            assert_eq!(letters.len(), ids.len() / 20, "{what}");
            store.close().await.unwrap();
            drop(store);

            let refused = Embedded::open(folder.settings()).err().map(|error| error.to_string());
            if let Some(refused) = &refused {
                let says = ["`dispatcher store ", "take it out of the data folder"];
                assert!(says.iter().any(|words| refused.contains(words)), "{what}: {refused}");
                // One that is missing shows in the one behind it.
                assert!(refused.contains("/seg-"), "{what}: {refused}");
            }
            let report = check(&folder);
            assert_eq!(
                matches!(report.start, Start::Fails(_)),
                refused.is_some(),
                "{what}: {report:?}"
            );
            let damage = report.damages.iter().find(|damage| damage.segment == path);
            let damage = damage.unwrap_or_else(|| panic!("{what}: {report:?}"));
            let give_up = if damage.repairable {
                Vec::new()
            } else {
                assert!(report.can_give_up, "{what}");
                vec![path.file_name().unwrap().to_string_lossy().into_owned()]
            };
            let after = repair(&folder, give_up).after.unwrap();
            assert!(after.is_clean(), "{what}: {after:?}");
            let store = folder.store();
            let (found, places, _) = self::found(&store).await;
            assert_eq!(found.iter().collect::<Vec<_>>(), there, "{what}");
            let depth = store.depth(dispatcher_model::TargetNumber(0));
            assert_eq!((depth.pending, depth.retrying), (0, 0), "{what}: {places}");
        }
    }
}
