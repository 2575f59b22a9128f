//! Cuts off a torn record: a write at the end of the log that a crash left incomplete.
//!
//! If no later frame says that it was durable, it was never acknowledged. If one does, it is damage, and
//! nothing is cut off.

use std::path::Path;

use crate::embedded::error::{OpenError, at};
use crate::embedded::format::frame::HEADER_BYTES;
use crate::embedded::log::scanner::{CHUNK_BYTES, Scanner, Stretch};
use crate::embedded::platform::disk::DiskFile;

/// Ends the log at the start of `rest`, where there is no frame. Returns the newest epoch of the remains
/// behind it; `None` if something durable was there. A file of full length is not cut: it was written in
/// advance or recycled, and what is left in it belongs to another place, or to an earlier epoch.
pub(super) fn cut(
    file: &dyn DiskFile,
    path: &Path,
    rest: Stretch,
    epoch: u32,
) -> Result<Option<u32>, OpenError> {
    let blank = Scanner::new(file, rest, CHUNK_BYTES).blank().map_err(at("read", path))?;
    // A segment that was written in advance ends in zeros, which are overwritten later.
    if blank {
        return Ok(Some(epoch));
    }
    let (mut scanner, mut newest) = (Scanner::new(file, rest, CHUNK_BYTES).since(epoch), epoch);
    while let Some(header) = scanner.resync().map_err(at("read", path))? {
        if header.durable_lsn > rest.from {
            return Ok(None);
        }
        newest = newest.max(header.epoch);
    }
    let offset = rest.from - rest.segment.base;
    if rest.to >= rest.segment.limit() {
        // If the power were cut again while the next frame is written, its first bytes could complete a
        // torn header that is left here.
        let len = usize::try_from(rest.segment.limit() - rest.from).unwrap_or(usize::MAX);
        let blank = [0; HEADER_BYTES];
        file.write_all_at(&blank[..len.min(HEADER_BYTES)], offset).map_err(at("write to", path))?;
        file.sync().map_err(at("sync", path))?;
        return Ok(Some(newest));
    }
    tracing::info!(segment = %path.display(), offset,
        "cut off a torn write at the end of the log; it was never acknowledged");
    file.truncate(offset).map_err(at("cut", path))?;
    file.sync().map_err(at("sync", path))?;
    Ok(Some(newest))
}
