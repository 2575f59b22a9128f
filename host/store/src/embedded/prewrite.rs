//! The next segment, written full of zeros before it is needed.
//!
//! Overwriting is about 1.6 times as fast to sync as appending. The work is done in steps with a pause,
//! past the system's cache, or each step synced: one large sync would delay every group commit. Where
//! an old segment can be used again nothing is written.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::disk::{Disk, DiskFile, PAGE_BYTES};
use super::machine::Machine;
use super::spare::Spare;

const STEP_BYTES: usize = 1 << 20;
pub(super) const PAUSE: Duration = Duration::from_millis(1);

pub(super) struct Prewriter {
    disk: Arc<dyn Disk>,
    spare: Arc<Spare>,
    stop: Arc<AtomicBool>,
    worker: Option<JoinHandle<()>>,
    /// Made by the thread that asked for it, without a pause.
    alone: bool,
}

impl Prewriter {
    pub(super) fn new(machine: &Machine, spare: Arc<Spare>) -> Self {
        let (disk, alone) = (machine.disk.clone(), machine.alone);
        Self { disk, spare, stop: Arc::default(), worker: None, alone }
    }

    /// Begins, unless a spare is there or on its way. Without one the log appends: no error.
    pub(super) fn start(&mut self) {
        if !self.spare.begin_new() {
            return;
        }
        let (disk, spare, stop) = (self.disk.clone(), self.spare.clone(), self.stop.clone());
        let pause = if self.alone { Duration::ZERO } else { PAUSE };
        let work = move || {
            let made = prewrite(&*disk, &spare.path, spare.capacity, &stop, pause);
            if let Err(error) = &made {
                let path = spare.path.display();
                tracing::warn!(%path, %error, "cannot write the next segment in advance");
            }
            spare.put(made.ok().flatten());
        };
        if self.alone {
            return work();
        }
        self.worker = std::thread::Builder::new().name("store-prewrite".into()).spawn(work).ok();
        if self.worker.is_none() {
            self.spare.put(None);
        }
    }
}

impl Drop for Prewriter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(worker) = self.worker.take() {
            // It was a help only: whatever became of it, the log goes on without.
            let _ = worker.join();
        }
    }
}

pub(super) fn prewrite(
    disk: &dyn Disk,
    path: &Path,
    capacity: u64,
    stop: &AtomicBool,
    pause: Duration,
) -> io::Result<Option<Box<dyn DiskFile>>> {
    let file = disk.create(path)?;
    // Zeros that will only be written over need no place in the system's memory: to find some and to
    // bring it to disk costs ten times as much.
    let mut bypasses = file.bypass_cache(true);
    let room = vec![0; STEP_BYTES + PAGE_BYTES];
    let aligned = room.as_ptr().align_offset(PAGE_BYTES).min(PAGE_BYTES);
    let zeros = &room[aligned..][..STEP_BYTES];
    let mut at = 0;
    while at < capacity {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let left = usize::try_from(capacity - at).unwrap_or(usize::MAX);
        let step = left.min(zeros.len());
        let mut written = file.write_all_at(&zeros[..step], at);
        if written.is_err() && bypasses {
            // The end of a segment of an odd size, or a file system with larger pages.
            bypasses = file.bypass_cache(false);
            written = file.write_all_at(&zeros[..step], at);
        }
        if !bypasses {
            written = written.and_then(|()| file.sync());
        }
        if let Err(error) = written {
            let _ = disk.remove(path);
            return Err(error);
        }
        at += step as u64;
        std::thread::sleep(pause);
    }
    file.bypass_cache(false);
    if let Err(error) = file.sync() {
        let _ = disk.remove(path);
        return Err(error);
    }
    Ok(Some(file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::disk::Files;

    #[test]
    fn a_segment_of_any_size_is_written_whole_and_then_anywhere() {
        let folder = tempfile::tempdir().unwrap();
        for capacity in [STEP_BYTES as u64, (2 << 20) + 4_097, 12_345] {
            let (path, stop) = (folder.path().join("spare"), AtomicBool::new(false));
            let file = prewrite(&Files, &path, capacity, &stop, Duration::ZERO).unwrap().unwrap();
            assert_eq!(file.len().unwrap(), capacity);
            file.write_all_at(b"odd", 7).unwrap();
            let mut bytes = vec![1; usize::try_from(capacity).unwrap()];
            assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
            assert_eq!(&bytes[..12], b"\0\0\0\0\0\0\0odd\0\0");
            assert!(bytes[12..].iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn one_that_is_stopped_gives_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (path, stop) = (folder.path().join("spare"), AtomicBool::new(true));
        assert!(prewrite(&Files, &path, 1 << 20, &stop, Duration::ZERO).unwrap().is_none());
    }
}
