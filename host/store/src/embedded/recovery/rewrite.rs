//! Rewrites the end of the log before it is trusted.
//!
//! After a failed sync Linux marks the pages as clean although the disk does not have them, and the next
//! sync succeeds. A process that starts after that finds whole frames in the file that a power cut would
//! lose. Therefore frames that no later frame proves durable are read and written again: this makes their
//! pages dirty, so that the next sync really writes them.

use std::io;

use crate::embedded::log::scanner::{CHUNK_BYTES, Scanner, Step, Stretch};
use crate::embedded::platform::disk::DiskFile;

/// Makes all frames of the stretch durable, up to the first place without a frame.
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
