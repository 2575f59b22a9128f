//! The mark of the segment with which the log begins. It is durable before an older segment is removed, so an oldest
//! segment without a mark proves that those before it were not removed by this program.

use std::io;
use std::path::Path;

use crate::embedded::format::segment_header::{BEGINNING_AT, HEADER_LEN, SegmentHeader};
use crate::embedded::platform::disk::Disk;

/// Where the mark is in its file.
const PLACE: u64 = BEGINNING_AT as u64;

/// Whether the log may begin with that segment.
pub(crate) fn is_marked(
    disk: &dyn Disk,
    folder: &Path,
    segment: &SegmentHeader,
) -> io::Result<bool> {
    let mut bytes = [0; HEADER_LEN];
    let read = disk.open(&segment.path(folder))?.read_at(&mut bytes, 0)?;
    Ok(segment.begins_log(&bytes[..read]))
}

/// Says in that segment's file that the log begins there; durable when it returns.
pub(crate) fn mark(disk: &dyn Disk, folder: &Path, segment: &SegmentHeader) -> io::Result<()> {
    if is_marked(disk, folder, segment)? {
        return Ok(());
    }
    let file = disk.open(&segment.path(folder))?;
    file.write_all_at(&segment.beginning(), PLACE)?;
    file.sync()
}
