//! Why the store does not open: one line that says what, where and what to do.

use std::io;
use std::path::{Path, PathBuf};

use crate::embedded::limits::{SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "the data folder {directory} is in use by another process: stop that one, or name another folder"
    )]
    Locked { directory: PathBuf },
    #[error(
        "the log is damaged at byte {offset} of {segment} ({what}): `dispatcher store check` shows what is lost, `dispatcher store repair` repairs it; or restore that file from a backup. Nothing was changed"
    )]
    Corrupt { segment: PathBuf, offset: u64, what: &'static str },
    #[error(
        "{segment} has format version {found}; this program reads only version {supported}: use the program that wrote it"
    )]
    VersionUnknown { segment: PathBuf, found: u8, supported: u8 },
    #[error(
        "a segment of {given} bytes is out of range: choose from {SEGMENT_BYTES_MIN} to {SEGMENT_BYTES_MAX}"
    )]
    SegmentBytes { given: u64 },
    #[error(
        "a log of at most {given} bytes is too small for its segments: allow {bytes_min}, or choose smaller segments"
    )]
    RetentionBytes { given: u64, bytes_min: u64 },
    #[error("cannot {act} {path}: {source}; {advice}")]
    Io { act: &'static str, path: PathBuf, source: io::Error, advice: &'static str },
    #[error(
        "cannot open the index {path}: {reason}; it may be deleted, it is rebuilt from the log"
    )]
    Index { path: PathBuf, reason: String },
    #[error("cannot start a thread of the store: {0}; raise the limit of processes")]
    Thread(io::Error),
}

/// Says where an I/O operation failed.
pub(crate) fn at<'a>(
    act: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> OpenError + 'a {
    move |source| {
        let advice = match source.kind() {
            io::ErrorKind::PermissionDenied => "give this user the right to write there",
            io::ErrorKind::ReadOnlyFilesystem => "mount it writable, or name another data folder",
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space",
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                "something that is not a folder is in the way"
            }
            _ => "check the disk and the data folder",
        };
        OpenError::Io { act, path: path.to_path_buf(), source, advice }
    }
}
