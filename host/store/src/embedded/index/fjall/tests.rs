//! Rows in the engine, and parts of its files that are missing.

use std::ops::ControlFlow;

use super::*;
use crate::embedded::index::fjall_files::VERSION_FILE;
use crate::embedded::index::queries::Queries as _;
use crate::embedded::index::rows::{RetryRow, retry_key};

fn retry(n: u32) -> Vec<u8> {
    let row = RetryRow { attempts: n, first_attempt_ms: 0, reason: "r".into(), progress: vec![] };
    postcard::to_allocvec(&row).unwrap()
}

#[test]
fn rows_come_back_in_order_after_a_reopen_and_old_hours_go() {
    let folder = tempfile::tempdir().unwrap();
    {
        let index = FjallIndex::open(folder.path()).unwrap();
        let mut batch = Batch::default();
        for (target, due, number) in [(1, 30, 7), (1, 10, 9), (2, 5, 1)] {
            batch.rows.insert((Space::Retry, retry_key(target, due, number)), Some(retry(1)));
        }
        let seen = Seen { number: 5, received_ms: 3_600_000 };
        batch.seen.push((1, [3; 16], Seen { number: 4, ..seen }));
        batch.seen.push((1, [3; 16], seen));
        index.commit(batch).unwrap();
        assert_eq!(index.seen(&[3; 16], 1, &|_| true).unwrap(), Some(seen));
        let mut batch = Batch { hours_from: 2, ..Batch::default() };
        batch.rows.insert((Space::Retry, retry_key(1, 30, 7)), None);
        index.commit(batch).unwrap();
        assert_eq!(index.seen(&[3; 16], 1, &|_| true).unwrap(), None);
    }
    let index = FjallIndex::open(folder.path()).unwrap();
    let mut found = Vec::new();
    index
        .retries(1, 0, &mut |due, number, _| {
            found.push((due, number));
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(found, vec![(10, 9)]);
    assert_eq!(index.dump().len(), 2);
}

fn folders(index: &Path) -> Vec<PathBuf> {
    let all = std::fs::read_dir(index.join(KEYSPACES)).unwrap();
    all.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
}

/// An index with one hour of keys, all rows in tables; and the folder of that hour.
fn with_an_hour(folder: &Path) -> (FjallIndex, PathBuf) {
    let index = FjallIndex::open(folder).unwrap();
    let before = folders(folder);
    let mut batch = Batch::default();
    batch.rows.insert((Space::Retry, retry_key(1, 30, 7)), Some(retry(1)));
    batch.seen.push((1, [3; 16], Seen { number: 5, received_ms: 3_600_000 }));
    index.commit(batch).unwrap();
    index.write_tables();
    let hour = folders(folder).into_iter().find(|path| !before.contains(path)).unwrap();
    (index, hour)
}

/// The mark goes first, then the file that names the tables, and then the folder.
#[test]
fn a_kill_while_an_old_hour_is_removed_is_no_damage() {
    for is_marked in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let (index, hour) = with_an_hour(folder.path());
        if !is_marked {
            let mut batch = Batch::default();
            batch.rows.insert((Space::Meta, hour_mark(1)), None);
            index.commit(batch).unwrap();
        }
        drop(index);
        std::fs::remove_file(hour.join(VERSION_FILE)).unwrap();
        match FjallIndex::open(folder.path()) {
            Ok(index) => {
                assert!(!is_marked);
                assert_eq!(index.seen(&[3; 16], 1, &|_| true).unwrap(), None);
                assert_eq!(index.scan(Space::Retry, &[], 9).unwrap().len(), 1);
            }
            Err(error) => assert!(is_marked && error.is_damage(), "{error}"),
        }
    }
}

/// The engine drops a keyspace whose list of tables is missing, without an error: if all of it is in the journal, nothing
/// else shows that it was there.
#[test]
fn keys_whose_keyspace_is_only_in_the_journal_are_missed() {
    let folder = tempfile::tempdir().unwrap();
    let seen = Seen { number: 5, received_ms: 3_600_000 };
    let index = FjallIndex::open(folder.path()).unwrap();
    let before = folders(folder.path());
    for hour in [1, 2] {
        let mut batch = Batch { hours_from: hour, ..Batch::default() };
        batch.seen.push((hour, [3; 16], seen));
        index.commit(batch).unwrap();
    }
    drop(index);
    let index = FjallIndex::open(folder.path()).expect("the first hour was removed in order");
    assert_eq!(index.seen(&[3; 16], 2 * 3_600_000, &|_| true).unwrap(), Some(seen));
    drop(index);
    let hours = folders(folder.path()).into_iter().filter(|path| !before.contains(path));
    let lost: Vec<PathBuf> = hours.filter(|path| path.join(VERSION_FILE).exists()).collect();
    assert!(!lost.is_empty());
    for path in lost {
        std::fs::remove_file(path.join(VERSION_FILE)).unwrap();
    }
    let error = FjallIndex::open(folder.path()).err().expect("an hour of keys is missing");
    assert!(error.is_damage(), "{error}");
}
