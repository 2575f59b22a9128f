//! The mark of a segment that has ended. It is written once the next segment has its name, so a newest segment with the
//! mark proves that those behind it are missing.

use std::io;
use std::path::Path;

use crate::embedded::format::segment_header::{ENDING_AT, ENDING_LEN, HEADER_LEN, SegmentHeader};
use crate::embedded::platform::disk::{Disk, DiskFile};

/// Where the mark is in its file.
const PLACE: u64 = ENDING_AT as u64;

/// Where that segment ended, if it says so.
pub(crate) fn ended_at(file: &dyn DiskFile, segment: &SegmentHeader) -> io::Result<Option<u64>> {
    let mut bytes = [0; HEADER_LEN];
    let read = file.read_at(&mut bytes, 0)?;
    Ok(segment.ended_at(&bytes[..read]))
}

/// Says in that segment's file where it ended. The name of the next one must be durable before. Without the mark less
/// is proven, but nothing is wrong: so it is not synced, and a failure is ignored.
pub(crate) fn try_mark(disk: &dyn Disk, folder: &Path, segment: &SegmentHeader, end: u64) {
    if let Err(error) = mark(disk, folder, segment, end) {
        let segment = segment.path(folder);
        tracing::debug!(segment = %segment.display(), %error, "cannot mark that a segment has ended");
    }
}

fn mark(disk: &dyn Disk, folder: &Path, segment: &SegmentHeader, end: u64) -> io::Result<()> {
    let file = disk.open(&segment.path(folder))?;
    if ended_at(&*file, segment)? == Some(end) {
        return Ok(());
    }
    file.write_all_at(&segment.ending(end), PLACE)
}

/// Takes the mark out of a copy that has no next segment.
pub(crate) fn clear(file: &dyn DiskFile) -> io::Result<()> {
    file.write_all_at(&[0; ENDING_LEN], PLACE)
}
