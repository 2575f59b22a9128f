//! The name of every folder that the store makes is synced: a power cut could remove the folder with everything in it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::Queue;
use crate::contract::*;
use crate::embedded::core::machine::Machine;
use crate::embedded::index::fjall_home::FjallHome;
use crate::embedded::platform::disk::{Disk, DiskFile, FileId, Files};
use crate::embedded::{Embedded, Settings};

#[derive(Clone, Debug, PartialEq)]
enum Call {
    Made(PathBuf),
    Synced(PathBuf),
}

/// The disk of the machine, and what was asked of it.
#[derive(Clone, Default)]
struct Recorded(Arc<Mutex<Vec<Call>>>);

impl Recorded {
    fn called(&self, call: Call) {
        self.0.lock().unwrap().push(call);
    }
}

impl Disk for Recorded {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Files.create(path)
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Files.open(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Files.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        Files.remove(path)
    }
    fn id(&self, path: &Path) -> io::Result<Option<FileId>> {
        Files.id(path)
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        Files.list(folder)
    }
    fn make_folder(&self, path: &Path) -> io::Result<bool> {
        let made = Files.make_folder(path)?;
        if made {
            self.called(Call::Made(path.to_owned()));
        }
        Ok(made)
    }
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        Files.sync_folder(path)?;
        self.called(Call::Synced(path.to_owned()));
        Ok(())
    }
}

/// All folders below that one, but for those that the engine of the index makes in its own.
fn folders(within: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(within).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("index") {
                found.extend(folders(&path));
            }
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn the_name_of_every_new_folder_is_synced() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings::new(dir.path().join("not").join("there").join("data"));
    let disk = Recorded::default();
    let home = FjallHome {
        disk: Arc::new(disk.clone()),
        folder: settings.index_folder(),
        aside: settings.damaged_folder(),
    };
    let machine =
        Machine { disk: Arc::new(disk.clone()), index: Arc::new(home), ..Machine::real(&settings) };
    for removes_index in [false, true] {
        let store = Embedded::open_on(&settings, &machine).unwrap();
        let a = register(&*store, &["a"]).await[0];
        append(&*store, vec![planned("1", &[a])]).await;
        if removes_index {
            std::fs::remove_dir_all(settings.index_folder()).unwrap();
            super::support::until("another index", || store.damage().is_some()).await;
            super::gate::whole(&store).await;
        }
        store.close().await.unwrap();
        let calls = std::mem::take(&mut *disk.0.lock().unwrap());
        for path in folders(dir.path()) {
            let made = calls.iter().rposition(|call| *call == Call::Made(path.clone()));
            let wanted = !removes_index || path.ends_with("index");
            assert_eq!(made.is_some(), wanted, "made by another way: {}", path.display());
            let synced = Call::Synced(path.parent().unwrap().to_owned());
            assert!(made.is_none_or(|at| calls[at..].contains(&synced)), "{}", path.display());
        }
    }
}

/// Also what the engine of the index makes, which has its own way to its files.
#[tokio::test]
async fn files_and_folders_are_for_the_user_of_the_daemon_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = super::support::Folder::new();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    append(&*store, (0..50).map(|i| keyed(&i.to_string(), 1, &[a])).collect()).await;
    let some = claim(&*store, a, 9).await;
    settle(&*store, a, &some, retry(now())).await;
    store.caught_up().await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let all = |found: &mut Vec<PathBuf>| {
        let mut at = vec![folder.settings().directory];
        while let Some(path) = at.pop() {
            if path.is_dir() {
                at.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
            found.push(path);
        }
    };
    let mut found = Vec::new();
    all(&mut found);
    assert!(found.iter().any(|path| path.extension().is_some_and(|ext| ext == "jnl")));
    for path in found {
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let wanted = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, wanted, "{:o} {}", mode, path.display());
    }
}
