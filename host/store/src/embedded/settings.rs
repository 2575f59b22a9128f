//! What an operator chooses, and the limits that nobody has to choose.

use std::path::{Path, PathBuf};

use super::error::OpenError;

/// A segment of the log unless the settings say otherwise.
pub const SEGMENT_BYTES_DEFAULT: u64 = 64 << 20;
pub const SEGMENT_BYTES_MIN: u64 = 1 << 20;
pub const SEGMENT_BYTES_MAX: u64 = 2 << 30;

/// Kept for 30 days unless the settings say otherwise.
pub const RETENTION_AGE_MS_DEFAULT: u64 = 30 * 86_400_000;
/// Size of the log unless the settings say otherwise.
pub const RETENTION_BYTES_DEFAULT: u64 = 10 << 30;
/// The log may have at least so many segments.
pub const RETENTION_SEGMENTS_MIN: u64 = 4;

/// Most requests that wait for the disk; one more is refused.
pub(super) const WAITING_REQUESTS_MAX: usize = 4_096;
/// Most bytes of requests that wait for the disk.
pub(super) const WAITING_BYTES_MAX: usize = 128 << 20;
/// Most requests of one group commit.
pub(super) const GROUP_REQUESTS_MAX: usize = 1_024;
/// A group commit takes no further request above this many bytes.
pub(super) const GROUP_BYTES_MAX: usize = 4 << 20;
/// Most bytes of requests kept in memory for targets that keep up.
pub(super) const TAIL_BYTES_MAX: usize = 8 << 20;
/// Most deliveries of a target between its cursor and its reader, and most claimed rows.
pub(super) const WINDOW_MAX: usize = 4_096;
/// Above this many settled deliveries behind one that is still being attempted, that one gets a row.
pub(super) const SETTLED_AHEAD_MAX: usize = WINDOW_MAX / 4;
/// A claim takes no further delivery above this many bytes of data.
pub(super) const CLAIM_BYTES_MAX: usize = 8 << 20;
/// A settlement record takes no further outcome above this many bytes.
pub(super) const SETTLEMENT_BYTES_MAX: usize = 128 << 10;
/// A record of a digest's outcomes is whole up to this many bytes.
pub(super) const DIGEST_BYTES_MAX: usize = 400 << 10;
/// Outcomes written without a sync are synced after this time …
pub(super) const LAZY_MS_MAX: u64 = 1_000;
/// … or above this many bytes of records, whichever is first.
pub(super) const LAZY_BYTES_MAX: usize = 1 << 20;
/// While the disk refuses to write, outcomes above this many bytes of records are refused as well.
pub(super) const LAZY_BYTES_REFUSED: usize = 16 << 20;
/// Bytes of receipt kept; a longer id is cut, further fields are left out.
pub(super) const RECEIPT_BYTES_MAX: usize = 4_096;
/// Longest name of a target, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 255;
/// A key is remembered this long.
pub(super) const DEDUP_MS: u64 = 24 * 3_600_000;

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
    /// What is older goes, a segment at a time; what is not settled then becomes a dead letter first.
    pub retention_age_ms: Option<u64>,
    /// The log takes no more than this; when nothing of it can go no requests are taken in.
    pub retention_bytes: Option<u64>,
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
        }
    }

    pub(super) fn check(&self) -> Result<(), OpenError> {
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes) {
            return Err(OpenError::SegmentBytes { given: self.segment_bytes });
        }
        let bytes_min = self.segment_bytes * RETENTION_SEGMENTS_MIN;
        match self.retention_bytes.filter(|bytes| *bytes < bytes_min) {
            Some(given) => Err(OpenError::RetentionBytes { given, bytes_min }),
            None => Ok(()),
        }
    }

    pub(super) fn log_folder(&self) -> PathBuf {
        self.directory.join("log")
    }

    pub(super) fn index_folder(&self) -> PathBuf {
        self.directory.join("index")
    }

    pub(super) fn lock_file(&self) -> PathBuf {
        self.directory.join("lock")
    }
}

/// The largest request frame that a segment of `capacity` bytes takes.
pub(super) const fn request_bytes_max(capacity: u64) -> u64 {
    capacity / 2
}

/// The parent folder, or the path itself when it has none.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}
