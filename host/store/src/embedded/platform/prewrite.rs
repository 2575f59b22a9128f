//! Writes a file full of zeros, step by step, so that overwriting it later is cheap to sync.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::disk::{Disk, DiskFile, PAGE_BYTES};

const STEP_BYTES: usize = 1 << 20;

pub(crate) const PAUSE: Duration = Duration::from_millis(1);

pub(crate) fn prewrite(
    disk: &dyn Disk,
    path: &Path,
    capacity: u64,
    stop: &AtomicBool,
    pause: Duration,
) -> io::Result<Option<Box<dyn DiskFile>>> {
    let file = disk.create(path)?;
    // The zeros bypass the system's cache: going through it would cost ten times as much.
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
    use crate::embedded::platform::disk::Files;

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
