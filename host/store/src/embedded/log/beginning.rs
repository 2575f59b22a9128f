//! The mark of the segment with which the log begins. It is durable before an older segment is removed, so an oldest
//! segment without a mark proves that those before it were not removed by this program.

use std::io;
use std::path::Path;

use crate::embedded::format::segment_header::{BEGINNING_AT, HEADER_LEN, SegmentHeader};
use crate::embedded::platform::disk::{Disk, DiskFile};

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

/// Says in that segment's file that the log begins there; durable when it returns. It writes and syncs again what it can
/// read already: that may be in the kernel's memory only, after a sync that failed.
pub(crate) fn mark(disk: &dyn Disk, folder: &Path, segment: &SegmentHeader) -> io::Result<()> {
    // The first segment of a store needs no mark.
    if segment.base == 0 {
        return Ok(());
    }
    let file = disk.open(&segment.path(folder))?;
    write(&*file, segment)?;
    file.sync()
}

/// Writes the mark into the file of that segment.
pub(crate) fn write(file: &dyn DiskFile, segment: &SegmentHeader) -> io::Result<()> {
    file.write_all_at(&segment.beginning(), PLACE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::format::segment_header::sample;
    use crate::embedded::simulation::hardware::disk::SimDisk;

    #[test]
    fn a_mark_whose_sync_failed_is_synced_the_next_time() {
        let segment = sample(1 << 20, 1 << 20);
        let folder = Path::new("/log");
        let path = segment.path(folder);
        let mut in_memory_alone = 0;
        for seed in 0..20 {
            let disk = SimDisk::new(seed);
            let file = disk.create(&path).unwrap();
            file.write_all_at(&segment.to_bytes(), 0).unwrap();
            file.sync().unwrap();
            disk.sync_folder(folder).unwrap();
            disk.plan(|faults| faults.bad_syncs = 1);
            assert!(mark(&disk, folder, &segment).is_err());
            let is_durable = disk.copy().is_durable(&path, HEADER_LEN);
            let can_be_read = is_marked(&disk, folder, &segment).unwrap();
            in_memory_alone += u32::from(can_be_read && !is_durable);
            mark(&disk, folder, &segment).unwrap();
            assert!(disk.is_durable(&path, HEADER_LEN), "{seed}");
        }
        assert!(in_memory_alone > 0);
    }
}
