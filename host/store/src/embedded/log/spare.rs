//! The spare: the one file that is ready to become the next segment. It was written in advance, or is a
//! recycled segment.
//!
//! A segment is recycled only if all of it was written in advance, if it has no other name after it lost its own (a
//! backup by hard links needs its bytes), and if it has no reader. Its old frames belong to another place of the log, as
//! their headers say, and never pass for a part of the new segment.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::embedded::format::segment_header::SegmentHeader;
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
    /// Whether the log has space for a recycled one.
    wanted: AtomicBool,
}

impl Spare {
    /// Takes over the spare of an earlier process.
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

    /// Whether a spare should be written. Then the caller must [`put`](Self::put) it.
    pub(crate) fn begin_new(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) && self.begin()
    }

    /// Whether it is missing. Then the caller must [`put`](Self::put) one.
    fn begin(&self) -> bool {
        let mut slot = lock(&self.slot);
        let empty = matches!(*slot, Slot::Empty);
        if empty {
            *slot = Slot::Taken;
        }
        empty
    }

    /// Ends what was begun; `None` if it failed.
    pub(crate) fn put(&self, file: Option<Box<dyn DiskFile>>) {
        *lock(&self.slot) = file.map_or(Slot::Empty, Slot::Ready);
    }

    /// The file and its path, if it is ready. Its name is in use until [`put`](Self::put) is called.
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

    /// Takes a segment's file out of the log, and recycles or removes it. After an error it may still have
    /// its name; call again.
    pub(crate) fn recycle(
        &self,
        disk: &dyn Disk,
        segment: &SegmentHeader,
        folder: &Path,
    ) -> std::io::Result<()> {
        let path = &segment.path(folder);
        let has_holes = segment.flags.full_length && !segment.flags.prewritten;
        if has_holes || !self.begin() {
            return remove(disk, path, folder);
        }
        if disk.rename(path, &self.path).is_err() {
            // A folder may have the name of the spare.
            self.put(None);
            return remove(disk, path, folder);
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

/// Removes a file for good. An earlier call may have got as far as the sync.
fn remove(disk: &dyn Disk, path: &Path, folder: &Path) -> std::io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => disk.sync_folder(folder),
    }
}

/// Opens the file, if all of it may be overwritten.
fn usable(disk: &dyn Disk, path: &Path, capacity: u64) -> Option<Box<dyn DiskFile>> {
    if disk.links(path).ok()? != 1 {
        return None;
    }
    disk.open(path).ok().filter(|file| file.len().is_ok_and(|len| len == capacity))
}
