//! A disk that counts what is read, and that stops taking changes at a chosen one, as when the process
//! ends there.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::embedded::Embedded;
use crate::embedded::core::machine::Machine;
use crate::embedded::platform::disk::{Disk, DiskFile, Files};

use crate::embedded::tests::support::Folder;

pub(super) struct Spy {
    pub read_bytes: AtomicU64,
    /// Renames, removals and creations that are still done.
    pub changes_left: AtomicUsize,
}

impl Spy {
    pub(super) fn new() -> Arc<Self> {
        let (read_bytes, changes_left) = (AtomicU64::new(0), AtomicUsize::new(usize::MAX));
        Arc::new(Self { read_bytes, changes_left })
    }

    /// Whether the process has ended; counts a change.
    fn change(&self) -> io::Result<()> {
        let less = |left: usize| if left == usize::MAX { Some(left) } else { left.checked_sub(1) };
        let left = self.changes_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
        left.map(drop).map_err(|_| io::Error::other("the process has ended"))
    }

    fn lives(&self) -> io::Result<()> {
        match self.changes_left.load(Ordering::SeqCst) {
            0 => Err(io::Error::other("the process has ended")),
            _ => Ok(()),
        }
    }
}

struct Spied(Arc<Spy>);

/// Such a disk.
pub(super) fn disk(spy: &Arc<Spy>) -> Arc<dyn Disk> {
    Arc::new(Spied(spy.clone()))
}

/// A store on such a disk.
pub(super) fn spied(folder: &Folder, spy: &Arc<Spy>) -> Arc<Embedded> {
    let settings = folder.settings();
    let machine = Machine { disk: disk(spy), ..Machine::real(&settings) };
    Embedded::open_on(&settings, &machine).unwrap()
}

struct SpiedFile(Arc<Spy>, Box<dyn DiskFile>);

impl DiskFile for SpiedFile {
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.1.read_at(out, offset)?;
        self.0.read_bytes.fetch_add(read as u64, Ordering::SeqCst);
        Ok(read)
    }
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.lives()?;
        self.1.write_all_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.lives()?;
        self.1.sync()
    }
    fn len(&self) -> io::Result<u64> {
        self.1.len()
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.lives()?;
        self.1.truncate(len)
    }
}

impl Disk for Spied {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.0.change()?;
        Ok(Box::new(SpiedFile(self.0.clone(), Files.create(path)?)))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(SpiedFile(self.0.clone(), Files.open(path)?)))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.change()?;
        Files.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.change()?;
        Files.remove(path)
    }
    fn links(&self, path: &Path) -> io::Result<u64> {
        Files.links(path)
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        Files.list(folder)
    }
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        Files.make_folder(path)
    }
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.0.lives()?;
        Files.sync_folder(path)
    }
}
