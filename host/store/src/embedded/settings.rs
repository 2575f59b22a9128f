//! What an operator chooses, and the folders that follow from it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::embedded::error::OpenError;
use crate::embedded::limits::{SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, millis};
use crate::{REPEAT_WINDOW_DEFAULT, REPEAT_WINDOW_MAX};

/// A segment of the log unless the settings say otherwise.
pub const SEGMENT_BYTES_DEFAULT: u64 = 64 << 20;

/// Kept for 30 days unless the settings say otherwise.
pub const RETENTION_AGE_MS_DEFAULT: u64 = 30 * 86_400_000;

/// Size of the log unless the settings say otherwise.
pub const RETENTION_BYTES_DEFAULT: u64 = 10 << 30;

/// The log may have at least so many segments.
pub const RETENTION_SEGMENTS_MIN: u64 = 4;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Folder of the log and its index; made when missing.
    pub directory: PathBuf,
    /// Size of the log's files, from [`SEGMENT_BYTES_MIN`] to [`SEGMENT_BYTES_MAX`]. A request may
    /// take half of one.
    pub segment_bytes: u64,
    /// With less free space than this no requests are taken in, until there is a tenth more. `None`:
    /// two segments or 256 MiB, whichever is more, but at most a twentieth of the file system. Zero:
    /// until the disk itself refuses.
    pub free_min_bytes: Option<u64>,
    /// What is older is removed, a segment at a time; what is not settled then becomes a dead letter first.
    pub retention_age_ms: Option<u64>,
    /// The log takes no more than this; when nothing of it can go no requests are taken in.
    pub retention_bytes: Option<u64>,
    /// The longest window of repetitions of all sources: repetition keys are kept so long, and at least for
    /// the default.
    pub repeat_window: Duration,
}

/// How long keys are kept for the longest window of all sources: at least the default, because a reload may set a short
/// window back to it.
pub(crate) fn window_ms(longest: Duration) -> u64 {
    millis(longest.clamp(REPEAT_WINDOW_DEFAULT, REPEAT_WINDOW_MAX))
}

impl Settings {
    /// The defaults, for data in that folder.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        let directory = directory.into();
        Self {
            directory,
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            free_min_bytes: None,
            retention_age_ms: Some(RETENTION_AGE_MS_DEFAULT),
            retention_bytes: Some(RETENTION_BYTES_DEFAULT),
            repeat_window: REPEAT_WINDOW_DEFAULT,
        }
    }

    pub(crate) fn window_ms(&self) -> u64 {
        window_ms(self.repeat_window)
    }

    pub(crate) fn check(&self) -> Result<(), OpenError> {
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes) {
            return Err(OpenError::SegmentBytes { given: self.segment_bytes });
        }
        let bytes_min = self.segment_bytes * RETENTION_SEGMENTS_MIN;
        match self.retention_bytes.filter(|bytes| *bytes < bytes_min) {
            Some(given) => Err(OpenError::RetentionBytes { given, bytes_min }),
            None => Ok(()),
        }
    }

    pub(crate) fn log_folder(&self) -> PathBuf {
        self.directory.join("log")
    }

    pub(crate) fn index_folder(&self) -> PathBuf {
        self.directory.join("index")
    }

    /// Where damaged files and indexes are kept.
    pub(crate) fn damaged_folder(&self) -> PathBuf {
        self.directory.join("damaged")
    }

    pub(crate) fn lock_file(&self) -> PathBuf {
        self.directory.join("lock")
    }
}

/// The parent folder, or the path itself when it has none.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}
