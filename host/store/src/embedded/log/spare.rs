//! The one file that is kept ready to become the next segment: written in advance, or a segment of
//! before that is no longer needed.
//!
//! A file is used again only under two conditions: it had no other name when it had already lost its
//! own (a backup made by hard links keeps its bytes), and it has no reader. What it holds is of another
//! place of the log, as each frame's header says, and never passes for a part of the new segment.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::embedded::platform::disk::{Disk, DiskFile};
use crate::embedded::platform::locks::lock;

pub(crate) const SPARE: &str = "spare.tmp";

enum Slot {
    Empty,
    /// It is being written.
    Taken,
    Ready(Box<dyn DiskFile>),
}

pub(crate) struct Spare {
    pub path: PathBuf,
    pub capacity: u64,
    slot: Mutex<Slot>,
    /// There is room for one that is rewritten.
    wanted: AtomicBool,
}

impl Spare {
    /// What an earlier process left ready is taken over.
    pub(crate) fn new(disk: &dyn Disk, folder: &Path, capacity: u64) -> Self {
        let path = folder.join(SPARE);
        let found = usable(disk, &path, capacity);
        let slot = Mutex::new(found.map_or(Slot::Empty, Slot::Ready));
        Self { path, capacity, slot, wanted: AtomicBool::new(true) }
    }

    pub(crate) fn is_ready(&self) -> bool {
        matches!(*lock(&self.slot), Slot::Ready(_))
    }

    pub(crate) fn want(&self, wanted: bool) {
        self.wanted.store(wanted, Ordering::Relaxed);
    }

    /// Whether one should be written: then it is for the caller to [`put`](Self::put) it there.
    pub(crate) fn begin_new(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) && self.begin()
    }

    /// Whether there is none; then it is for the caller to [`put`](Self::put) one there.
    fn begin(&self) -> bool {
        let mut slot = lock(&self.slot);
        let empty = matches!(*slot, Slot::Empty);
        if empty {
            *slot = Slot::Taken;
        }
        empty
    }

    /// Ends what was begun, with nothing if it failed.
    pub(crate) fn put(&self, file: Option<Box<dyn DiskFile>>) {
        *lock(&self.slot) = file.map_or(Slot::Empty, Slot::Ready);
    }

    /// The file and its path, if it is ready. Its name is in use until [`put`](Self::put) says that it
    /// has another, or is gone.
    pub(crate) fn take(&self) -> Option<(Box<dyn DiskFile>, PathBuf)> {
        let mut slot = lock(&self.slot);
        match std::mem::replace(&mut *slot, Slot::Taken) {
            Slot::Ready(file) => Some((file, self.path.clone())),
            other => {
                *slot = other;
                None
            }
        }
    }

    /// Takes a segment's file out of the log, to be used again or not at all. `Err`: it may have its name
    /// still; to be called again.
    pub(crate) fn recycle(
        &self,
        disk: &dyn Disk,
        path: &Path,
        folder: &Path,
    ) -> std::io::Result<()> {
        if !self.begin() {
            // An earlier call may have come as far as the sync.
            if let Err(error) = disk.remove(path)
                && error.kind() != ErrorKind::NotFound
            {
                return Err(error);
            }
            return disk.sync_folder(folder);
        }
        if let Err(error) = disk.rename(path, &self.path) {
            self.put(None);
            if error.kind() == ErrorKind::NotFound {
                return disk.sync_folder(folder);
            }
            return Err(error);
        }
        let file = usable(disk, &self.path, self.capacity);
        if file.is_none() {
            // The next spare takes the name over if this cannot be removed.
            let _ = disk.remove(&self.path);
        }
        self.put(file);
        disk.sync_folder(folder)
    }
}

/// The file of that path, if all of it may be written over.
fn usable(disk: &dyn Disk, path: &Path, capacity: u64) -> Option<Box<dyn DiskFile>> {
    if disk.links(path).ok()? != 1 {
        return None;
    }
    disk.open(path).ok().filter(|file| file.len().is_ok_and(|len| len == capacity))
}
