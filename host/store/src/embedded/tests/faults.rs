//! A failing disk: nothing is acknowledged that is not durable, and the store recovers by itself.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::contract::*;
use crate::embedded::Embedded;
use crate::embedded::core::machine::Machine;
use crate::embedded::platform::disk::{Disk, DiskFile, Files};
use crate::{AppendError, Queue};

use crate::embedded::tests::support::Folder;

/// How many of the next calls fail.
#[derive(Default)]
struct Faults {
    syncs: AtomicUsize,
    writes: AtomicUsize,
    creates: AtomicUsize,
    renames: AtomicUsize,
}

/// What threads prepare for the log does not fail: whether they or the log come first is chance.
fn fail(next: &AtomicUsize) -> io::Result<()> {
    if matches!(std::thread::current().name(), Some("store-prewrite" | "store-room")) {
        return Ok(());
    }
    let left = next.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    if left.is_ok() { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
}

struct Faulty(Arc<Faults>);

struct FaultyFile(Arc<Faults>, Box<dyn DiskFile>);

impl DiskFile for FaultyFile {
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        self.1.read_at(out, offset)
    }
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        // A part reaches the file, as it would.
        if let Err(error) = fail(&self.0.writes) {
            self.1.write_all_at(&bytes[..bytes.len() / 2], offset)?;
            return Err(error);
        }
        self.1.write_all_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        fail(&self.0.syncs)?;
        self.1.sync()
    }
    fn len(&self) -> io::Result<u64> {
        self.1.len()
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        self.1.truncate(len)
    }
}

impl Disk for Faulty {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        fail(&self.0.creates)?;
        Ok(Box::new(FaultyFile(self.0.clone(), Files.create(path)?)))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(FaultyFile(self.0.clone(), Files.open(path)?)))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Files.rename(from, to)?;
        fail(&self.0.renames)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        Files.remove(path)
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        Files.list(folder)
    }
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        Files.make_folder(path)
    }
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        Files.sync_folder(path)
    }
}

fn faulty(folder: &Folder) -> (Arc<Embedded>, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let settings = folder.settings();
    let disk = Arc::new(Faulty(faults.clone()));
    let machine = Machine { disk, ..Machine::real(&settings) };
    let store = Embedded::open_on(&settings, &machine).unwrap();
    (store, faults)
}

#[tokio::test]
async fn a_failed_sync_or_write_starts_a_new_segment() {
    type Fault = fn(&Faults) -> &AtomicUsize;
    for (what, fault) in [("sync", (|f| &f.syncs) as Fault), ("write to", |f| &f.writes)] {
        let folder = Folder::new();
        let (store, faults) = faulty(&folder);
        let a = register(&*store, &["a"]).await[0];
        append(&*store, vec![planned("before", &[a])]).await;
        fault(&faults).store(1, Ordering::SeqCst);
        let refused = store.append(request(vec![keyed("k", 1, &[a])])).await.unwrap_err();
        let AppendError::Disk(reason) = &refused else { panic!("{refused}") };
        assert!(reason.contains(what) && reason.contains("seg-0000000000000000.log"), "{reason}");
        assert!(reason.contains("os error 5"), "{reason}");
        assert_eq!(store.depth(a).pending, 1);
        // The same event again is no repetition: its first was never stored.
        let again = store.append(request(vec![keyed("k", 1, &[a])])).await.unwrap();
        assert_eq!(again.duplicates(), 0);
        assert_eq!(folder.segments().len(), 2);
        drop(store);
        for _ in 0..2 {
            let store = folder.store();
            assert_eq!(claimable(&*store, a).await[..2], ["before", "k-1"], "{what}");
            drop(store);
            folder.delete_index();
        }
    }
}

#[tokio::test]
async fn outcomes_are_written_again_after_a_failed_sync() {
    let folder = Folder::new();
    let (store, faults) = faulty(&folder);
    let a = register(&*store, &["a"]).await[0];
    append(&*store, (0..4).map(|i| planned(i.to_string(), &[a])).collect()).await;
    let all = claim(&*store, a, 4).await;
    settle(&*store, a, &all[..1], delivered()).await;
    settle(&*store, a, &all[1..2], retry(now())).await;
    settle(&*store, a, &all[2..3], dead("no")).await;
    faults.syncs.store(1, Ordering::SeqCst);
    assert!(store.append(request(vec![planned("refused", &[a])])).await.is_err());
    store.flush().await.unwrap();
    drop(store);
    for _ in 0..2 {
        let store = folder.store();
        assert_eq!(store.dead_letters(a, None, 9).await.unwrap().len(), 1);
        let mut left: Vec<String> = claimable(&*store, a).await;
        left.retain(|text| text != "the end");
        assert_eq!(left, ["1", "3"]);
        drop(store);
        folder.delete_index();
    }
}

#[tokio::test]
async fn a_failing_disk_is_tried_again_each_time() {
    let folder = Folder::new();
    let (store, faults) = faulty(&folder);
    let a = register(&*store, &["a"]).await[0];
    faults.syncs.store(1, Ordering::SeqCst);
    faults.creates.store(2, Ordering::SeqCst);
    for _ in 0..3 {
        let refused = store.append(request(vec![planned("refused", &[a])])).await;
        assert!(matches!(refused, Err(AppendError::Disk(_))));
    }
    // The new segment has its name, but that is not known: it is made once more.
    faults.renames.store(1, Ordering::SeqCst);
    assert!(store.append(request(vec![planned("refused", &[a])])).await.is_err());
    append(&*store, vec![planned("taken", &[a])]).await;
    drop(store);
    assert_eq!(claimable(&*folder.store(), a).await, ["taken"]);
}
