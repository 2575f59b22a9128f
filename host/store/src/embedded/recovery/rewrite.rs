//! The end of the log is written once more before it is believed.
//!
//! When a sync fails, Linux marks the pages as clean although the disk does not have them, and the
//! next sync succeeds. A process that starts after that finds whole frames in the file which a power
//! cut would take away. What is not said to be durable by a frame behind it is therefore read and
//! written again: these pages are dirty then, and the sync that follows tells the truth.

use std::io;

use crate::embedded::log::scanner::{CHUNK_BYTES, Scanner, Step};
use crate::embedded::log::segments::Stretch;
use crate::embedded::platform::disk::DiskFile;

/// Makes all frames from the stretch's start on durable, up to the first place without one.
pub(crate) fn rewrite(file: &dyn DiskFile, stretch: Stretch, epoch: u32) -> io::Result<()> {
    let mut scanner = Scanner::new(file, stretch, CHUNK_BYTES).since(epoch);
    let mut at = stretch.from;
    while let Step::Frame(header, _) = scanner.step()? {
        at = at.max(header.durable_lsn);
    }
    let end = scanner.at();
    let mut bytes = Vec::new();
    while at < end {
        let len = usize::try_from(end - at).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
        bytes.resize(len, 0);
        let offset = at - stretch.segment.base;
        let read = file.read_at(&mut bytes, offset)?;
        file.write_all_at(&bytes[..read], offset)?;
        if read < len {
            break;
        }
        at += len as u64;
    }
    file.sync()
}
