//! Space on the disk: shown and checked before anything is written, and freed after each part.

use std::io;
use std::path::Path;

use crate::args::{Args, Part};

/// Most bytes that a daemon under a load of single events writes in a second, spare segments included.
const SINGLE_BYTES_PER_SECOND: f64 = 150e6;
/// The same for a load of 1,000 events a request.
const MANY_BYTES_PER_SECOND: f64 = 600e6;
/// An event of the backlog in a log, with its share of the index.
const EVENT_BYTES: u64 = 1400;
/// Floor, files of the file-log, first segments, indexes.
const FIXED_BYTES: u64 = 2_000_000_000;
/// How many servers of a part keep the data that they receive.
const KEEPERS: f64 = 2.0;

/// Fails when a part may need more than is free.
pub(crate) fn check(folder: &Path, parts: &[Part], args: &Args) -> io::Result<()> {
    let need = parts.iter().map(|part| need_bytes(*part, args)).max().unwrap_or(0);
    let disk = rustix::fs::statvfs(folder)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let gb = |bytes: u64| bytes.div_ceil(1_000_000_000);
    let place = folder.parent().unwrap_or(folder).display();
    eprintln!("needs up to {} GB in {place}; {} GB are free", gb(need), free / 1_000_000_000);
    if free < need {
        return Err(io::Error::other(format!(
            "the bench may write up to {} GB and {place} has {} GB free: name another folder with \
             --directory, or measure less with --only, --seconds, --rounds or --backlog",
            gb(need),
            free / 1_000_000_000
        )));
    }
    Ok(())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate in bytes")]
fn need_bytes(part: Part, args: &Args) -> u64 {
    let loaded_s = f64::from(args.rounds) * args.seconds.as_secs_f64();
    let single = (loaded_s * SINGLE_BYTES_PER_SECOND * KEEPERS) as u64;
    FIXED_BYTES
        + match part {
            Part::Ingest => single * args.connections.len() as u64,
            Part::Batch => single + (2.0 * loaded_s * MANY_BYTES_PER_SECOND) as u64,
            Part::Http | Part::Peers => single,
            Part::Backlog => 2 * args.backlog * EVENT_BYTES + 2 * single,
            Part::Idle => 0,
        }
}

/// Removes the files of a part.
pub(crate) fn clear(home: &Path) -> io::Result<()> {
    std::fs::remove_dir_all(home)?;
    std::fs::create_dir_all(home)
}
