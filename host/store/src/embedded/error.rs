//! Why the store does not open: one line that says what, where and what to do.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use dispatcher_model::count;

use crate::embedded::limits::{SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "the data folder {directory} is in use by another process: stop that one, or name another folder"
    )]
    Locked { directory: PathBuf },
    #[error(
        "the log is damaged at byte {offset} of {segment} ({what}): `dispatcher store check` shows what is lost and what works: `dispatcher store repair`, or for some damage `dispatcher store repair --give-up {}`. Or restore that file from a backup. Nothing was changed", name_of(.segment)
    )]
    Corrupt { segment: PathBuf, offset: u64, what: &'static str },
    /// A file between two others.
    #[error(
        "{segment} is missing in the log: events in it are lost. Nothing was changed. Restore that file, or run `dispatcher store repair`, which counts what is lost; `dispatcher store check` shows it"
    )]
    Missing { segment: PathBuf },
    /// The index has read more than there is.
    #[error(
        "the log ends at byte {offset} of {segment}, but its index has read {} more: acknowledged events are lost. Nothing was changed. Restore the newest files of the log, or run `dispatcher store repair`, which counts what is lost; `dispatcher store check` shows it", count(*.missing_bytes, "byte")
    )]
    Lost { segment: PathBuf, offset: u64, missing_bytes: u64 },
    /// The newest file is shorter than it was made.
    #[error(
        "{segment} was cut: the file lacks {}, and what was stored behind byte {offset} may be lost. Nothing was changed. Restore that file, or run `dispatcher store repair`, which counts what is lost; `dispatcher store check` shows it", count(*.missing_bytes, "byte")
    )]
    Cut { segment: PathBuf, offset: u64, missing_bytes: u64 },
    #[error(
        "the log does not begin with {segment}: older files are missing, and events in them may be lost. Nothing was changed. Restore the oldest files of the log, or run `dispatcher store repair`, which counts what is lost; `dispatcher store check` shows it"
    )]
    NoBeginning { segment: PathBuf },
    /// The newest file says that another one follows it.
    #[error(
        "the log does not end with {segment}: newer files are missing, and acknowledged events in them are lost. Nothing was changed. Restore the newest files of the log, or run `dispatcher store repair`, which counts what is lost; `dispatcher store check` shows it"
    )]
    NoEnd { segment: PathBuf },
    #[error(
        "{folder} has no log, but it had one: all events are lost. Nothing was changed. Restore a backup of the data folder, or move the data folder away to start with an empty store"
    )]
    NoLog { folder: PathBuf },
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
    #[error("cannot start a thread of the store: {0}; raise the limit of processes")]
    Thread(io::Error),
}

impl OpenError {
    /// The segment that it is about.
    pub(crate) fn segment(&self) -> Option<&Path> {
        match self {
            Self::Corrupt { segment, .. }
            | Self::Missing { segment }
            | Self::Lost { segment, .. }
            | Self::Cut { segment, .. }
            | Self::NoBeginning { segment }
            | Self::NoEnd { segment }
            | Self::VersionUnknown { segment, .. } => Some(segment),
            _ => None,
        }
    }
}

/// The name of a segment, as an option takes it.
pub(crate) fn name_of(segment: &Path) -> Cow<'_, str> {
    segment.file_name().unwrap_or_default().to_string_lossy()
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
            // Not EINVAL of the system: what lies there is not a file.
            io::ErrorKind::InvalidInput if source.raw_os_error().is_none() => {
                "take it out of the data folder"
            }
            _ => "check the disk and the data folder",
        };
        OpenError::Io { act, path: path.to_path_buf(), source, advice }
    }
}
