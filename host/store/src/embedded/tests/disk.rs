//! The real disk with faults that a test chooses: calls that fail, a disk that is full, a process that
//! ends at a chosen change. It counts what is read.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};

use crate::embedded::core::machine::Machine;
use crate::embedded::platform::disk::{Disk, DiskFile, Files, Space};
use crate::embedded::{Embedded, Settings};

/// EIO.
const BROKEN: i32 = 5;
/// ENOSPC.
const NO_SPACE: i32 = 28;
const PLENTY: u64 = 1 << 40;

pub(super) struct Faults {
    pub read_bytes: AtomicU64,
    /// Renames, removals and creations that are still done before the process ends.
    pub changes_left: AtomicUsize,
    /// How many of the next calls of a kind fail.
    pub syncs: AtomicUsize,
    pub writes: AtomicUsize,
    pub creates: AtomicUsize,
    pub renames: AtomicUsize,
    /// No file can grow while this is not zero: they get this error.
    pub full: AtomicI32,
    pub free_bytes: AtomicU64,
    /// Writes that got that error.
    pub refused: AtomicUsize,
}

impl Faults {
    pub(super) fn none() -> Arc<Self> {
        Arc::new(Self {
            read_bytes: AtomicU64::new(0),
            changes_left: AtomicUsize::new(usize::MAX),
            syncs: AtomicUsize::new(0),
            writes: AtomicUsize::new(0),
            creates: AtomicUsize::new(0),
            renames: AtomicUsize::new(0),
            full: AtomicI32::new(0),
            free_bytes: AtomicU64::new(PLENTY),
            refused: AtomicUsize::new(0),
        })
    }

    /// Counts a change; an error once the process has ended.
    fn change(&self) -> io::Result<()> {
        let less = |left: usize| if left == usize::MAX { Some(left) } else { left.checked_sub(1) };
        let left = self.changes_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
        left.map(drop).map_err(|_| ended())
    }

    fn lives(&self) -> io::Result<()> {
        match self.changes_left.load(Ordering::SeqCst) {
            0 => Err(ended()),
            _ => Ok(()),
        }
    }
}

fn ended() -> io::Error {
    io::Error::other("the process has ended")
}

/// What threads prepare for the log does not fail: whether they or the log come first is chance.
fn fail(next: &AtomicUsize) -> io::Result<()> {
    if matches!(std::thread::current().name(), Some("store-prewrite" | "store-room")) {
        return Ok(());
    }
    let left = next.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    if left.is_ok() { Err(io::Error::from_raw_os_error(BROKEN)) } else { Ok(()) }
}

struct FaultyFiles(Arc<Faults>);

/// A disk with these faults.
pub(super) fn disk(faults: &Arc<Faults>) -> Arc<dyn Disk> {
    Arc::new(FaultyFiles(faults.clone()))
}

/// A store on a disk without faults so far.
pub(super) fn faulty(settings: &Settings) -> (Arc<Embedded>, Arc<Faults>) {
    let faults = Faults::none();
    let machine = Machine { disk: disk(&faults), ..Machine::real(settings) };
    (Embedded::open_on(settings, &machine).unwrap(), faults)
}

struct FaultyFile(Arc<Faults>, Box<dyn DiskFile>);

impl DiskFile for FaultyFile {
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.1.read_at(out, offset)?;
        self.0.read_bytes.fetch_add(read as u64, Ordering::SeqCst);
        Ok(read)
    }
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.lives()?;
        let full = self.0.full.load(Ordering::SeqCst);
        if full != 0 && offset + bytes.len() as u64 > self.1.len()? {
            self.0.refused.fetch_add(1, Ordering::SeqCst);
            return Err(io::Error::from_raw_os_error(full));
        }
        // A part reaches the file, as it would.
        if let Err(error) = fail(&self.0.writes) {
            self.1.write_all_at(&bytes[..bytes.len() / 2], offset)?;
            return Err(error);
        }
        self.1.write_all_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.lives()?;
        fail(&self.0.syncs)?;
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

impl Disk for FaultyFiles {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.0.change()?;
        fail(&self.0.creates)?;
        Ok(Box::new(FaultyFile(self.0.clone(), Files.create(path)?)))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(FaultyFile(self.0.clone(), Files.open(path)?)))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.change()?;
        Files.rename(from, to)?;
        fail(&self.0.renames)
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
    fn space(&self, _folder: &Path) -> io::Result<Space> {
        let full = self.0.full.load(Ordering::SeqCst) == NO_SPACE;
        let free_bytes = if full { 0 } else { self.0.free_bytes.load(Ordering::SeqCst) };
        Ok(Space { free_bytes, total_bytes: PLENTY })
    }
}
