//! Writing the log: frames are given places, written together, synced, and rolled over to the next
//! segment.
//!
//! After a failed write or sync, nothing in the segment behind the last durable place is trusted: the
//! log abandons it there and continues in a new segment with the next epoch.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ending;
use super::prewriter::Prewriter;
use super::spare::Spare;
use crate::embedded::format::clock_list;
use crate::embedded::format::frame::Frame;
use crate::embedded::format::record::Unreadable;
use crate::embedded::format::segment_header::{
    Flags, Identity, SEGMENT_HEADER_BYTES, SegmentHeader,
};
use crate::embedded::limits::GROUP_BYTES_MAX;
use crate::embedded::platform::clock::{Clock, ClockSet, OneSet};
use crate::embedded::platform::clock_trust::in_all;
use crate::embedded::platform::disk::{Disk, DiskFile, PAGE_BYTES, is_full};
use crate::embedded::space::guard::{Room, Why};
use crate::{AppendError, StoreError};

/// A new segment before it has its name.
const NEXT: &str = "next.tmp";

/// Capacity that the write buffer keeps between group commits: a full group and its last request.
/// Allocating it for each group was a tenth of the cost of large requests.
const BUFFER_BYTES_KEPT: usize = 2 * GROUP_BYTES_MAX;

/// Why the log does not take a record.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum DiskError {
    /// The disk, or the log, is full. The text says what, where and what to do.
    #[error("{0}")]
    Full(String),
    #[error("cannot {act} {path}: {why}")]
    Io { act: &'static str, path: PathBuf, why: String },
    /// The last write failed, and the next segment could not be started.
    #[error("the log has no segment to write to")]
    NoSegment,
    #[error("the checkpoint is too large")]
    Checkpoint,
    #[error("a segment is too small for so many targets: set a larger size")]
    SmallSegment,
    #[error("too many new targets at once")]
    TooManyTargets,
    /// A repetition cannot be taken out of its request.
    #[error("cannot leave out a repetition: {0}")]
    Repetition(Unreadable),
    /// Another failure of the store, for a caller that waits for the disk.
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl DiskError {
    /// For the caller whose request could not be written.
    pub(crate) fn to_append(&self) -> AppendError {
        match self {
            Self::Full(reason) => AppendError::Full { reason: reason.clone() },
            other => AppendError::Disk(other.to_string()),
        }
    }

    pub(crate) fn to_store(&self) -> StoreError {
        StoreError::Disk { reason: self.to_string() }
    }
}

pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    folder: PathBuf,
    /// Of the next segments.
    capacity: u64,
    /// The newest segment.
    segment: SegmentHeader,
    /// `None` after it was abandoned.
    file: Option<Box<dyn DiskFile>>,
    /// The file was not written in advance: each sync has to record where its new blocks are as well.
    grows: bool,
    /// The next segment could not be started: what is small may still fit this one.
    stuck: bool,
    buffer: Vec<u8>,
    /// Frames in `buffer` start here.
    written: u64,
    durable: u64,
    epoch: u32,
    prewriter: Prewriter,
    spare: Arc<Spare>,
    room: Arc<Room>,
}

impl Log {
    /// Continues at `end` of the newest segment, whose content up to there is durable. `steps`: nothing
    /// runs on a thread of its own.
    pub(crate) fn new(
        (disk, clock, steps): (Arc<dyn Disk>, Arc<dyn Clock>, bool),
        folder: &Path,
        capacity: u64,
        (segment, file): (SegmentHeader, Box<dyn DiskFile>),
        (end, epoch): (u64, u32),
        (spare, room): (Arc<Spare>, Arc<Room>),
    ) -> Self {
        room.files.segment_opened(&segment.path(folder), &*file, segment.len_min());
        Self {
            grows: grows(segment, &*file),
            prewriter: Prewriter::new(disk.clone(), spare.clone(), steps),
            disk,
            clock,
            folder: folder.to_path_buf(),
            capacity,
            segment,
            file: Some(file),
            stuck: false,
            buffer: Vec::new(),
            written: end,
            durable: end,
            epoch,
            spare,
            room,
        }
    }

    /// The error for a refusal. A full disk also stops the acceptance of requests; any other failure is shown as
    /// the reason for which they are refused.
    fn refused(&self, act: &'static str, path: &Path, error: &std::io::Error) -> DiskError {
        let refused = DiskError::Io { act, path: path.to_path_buf(), why: error.to_string() };
        if !is_full(error) {
            // If the folder is gone, that is the reason.
            self.room.look_at_files(&*self.disk);
            self.room.disk_failed(&refused.to_string());
            return refused;
        }
        DiskError::Full(self.room.disk_refused(&refused.to_string()))
    }

    pub(crate) const fn durable(&self) -> u64 {
        self.durable
    }

    pub(crate) const fn epoch(&self) -> u32 {
        self.epoch
    }

    pub(crate) const fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// The largest frame that fits a segment.
    pub(crate) fn frame_bytes_max(&self) -> u64 {
        crate::embedded::limits::request_bytes_max(self.capacity.min(self.segment.capacity))
    }

    fn next_place(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    pub(crate) fn fits(&self, bytes: u64) -> bool {
        self.next_place() + bytes <= self.segment.limit()
    }

    /// Whether a new segment would be faster: this one's file grows, and a spare is ready.
    pub(crate) fn is_outdone(&self) -> bool {
        self.grows && self.spare.is_ready()
    }

    /// Gives a frame its place; it is not written yet.
    pub(crate) fn place(&mut self, frame: &mut Frame) -> u64 {
        let lsn = self.next_place();
        let salt = self.segment.identity.salt();
        self.buffer.extend_from_slice(frame.place(salt, lsn, self.durable, self.epoch));
        lsn
    }

    /// Bytes placed since the last write.
    pub(crate) fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Writes what was placed, without a sync.
    pub(crate) fn write(&mut self) -> Result<(), DiskError> {
        let Some(file) = &self.file else { return Ok(()) };
        if self.buffer.is_empty() {
            return Ok(());
        }
        let (bytes, at) = (self.buffer.len(), self.written - self.segment.base);
        // A page written whole need not be read first. The bytes behind the end are not part of the log.
        let end = at + bytes as u64;
        if !self.grows && end.next_multiple_of(PAGE_BYTES as u64) <= self.segment.capacity {
            let padding = end.next_multiple_of(PAGE_BYTES as u64) - end;
            self.buffer.extend(std::iter::repeat_n(0, usize::try_from(padding).unwrap_or(0)));
        }
        if let Err(error) = file.write_all_at(&self.buffer, at) {
            return Err(self.abandon("write to", &error));
        }
        self.written += bytes as u64;
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        Ok(())
    }

    /// Writes and syncs everything placed.
    pub(crate) fn sync(&mut self) -> Result<(), DiskError> {
        self.write()?;
        let Some(file) = &self.file else { return Ok(()) };
        if self.durable < self.written {
            if let Err(error) = file.sync() {
                return Err(self.abandon("sync", &error));
            }
            self.durable = self.written;
            if !self.stuck {
                self.room.disk_wrote();
            }
        }
        // From here on a spare segment is useful; a daemon with little to do never makes one.
        let of_capacity = if self.grows { 8 } else { 3 };
        let used = self.durable - self.segment.base;
        if used > self.segment.capacity / of_capacity && self.room.spares(self.capacity) {
            self.prewriter.start();
        }
        Ok(())
    }

    /// A later success of the same file is not trusted: the kernel may have dropped its pages.
    fn abandon(&mut self, act: &'static str, error: &std::io::Error) -> DiskError {
        let path = self.segment.path(&self.folder);
        self.file = None;
        self.buffer.clear();
        self.written = self.durable;
        self.refused(act, &path, error)
    }

    /// Continues in a new segment that opens with `checkpoint`. Everything placed must be durable or
    /// given up. The file gets its name only when its first bytes are durable.
    pub(crate) fn roll(
        &mut self,
        checkpoint: Frame,
        sets: &[OneSet],
    ) -> Result<SegmentHeader, DiskError> {
        let rolled = self.start_next(checkpoint, sets);
        self.stuck = rolled.is_err();
        rolled
    }

    fn start_next(
        &mut self,
        mut checkpoint: Frame,
        sets: &[OneSet],
    ) -> Result<SegmentHeader, DiskError> {
        let epoch = self.epoch + u32::from(self.file.is_none());
        let (file, from, grows) = self.next_file()?;
        let segment = SegmentHeader {
            identity: self.segment.identity,
            base: self.segment.limit(),
            capacity: self.capacity,
            prev_end: self.durable,
            epoch,
            created_ms: self.clock.wall_ms(),
            clock: in_all(sets),
            flags: flags(&*file, self.capacity, !grows),
        };
        let mut bytes = segment.to_bytes();
        clock_list::put(&segment, sets, &mut bytes);
        bytes.extend_from_slice(checkpoint.place(
            segment.identity.salt(),
            segment.first(),
            self.durable,
            epoch,
        ));
        let end = segment.base + bytes.len() as u64;
        let path = segment.path(&self.folder);
        let written = file
            .write_all_at(&bytes, 0)
            .and_then(|()| file.sync())
            .and_then(|()| self.disk.rename(&from, &path))
            .and_then(|()| self.disk.sync_folder(&self.folder));
        let was_spare = from == self.spare.path;
        if let Err(error) = written {
            // The new segment may already have its name, and says where this one ends: this one must not
            // grow. The next try rewrites the new one.
            self.file = None;
            let _ = self.disk.remove(&from);
            if was_spare {
                self.spare.put(None);
            }
            return Err(self.refused("start the segment", &path, &error));
        }
        if was_spare {
            self.spare.put(None);
        }
        self.room.disk_wrote();
        self.room.files.segment_opened(&path, &*file, segment.len_min());
        ending::try_mark(&*self.disk, &self.folder, &self.segment, self.durable);
        self.segment = segment;
        self.grows = grows;
        self.file = Some(file);
        self.written = end;
        self.durable = end;
        self.epoch = epoch;
        self.room.look_soon();
        Ok(segment)
    }

    /// Whether the file is still the one with that name: someone may have removed or replaced it, and then a rename
    /// would give the segment's name to another file than the one that is written.
    fn has_name(&self, file: &dyn DiskFile, path: &Path) -> bool {
        matches!((file.id(), self.disk.id(path)), (Ok(open), Ok(named)) if open == named)
    }

    /// A file to become the next segment, where it lies, and whether it grows.
    fn next_file(&mut self) -> Result<(Box<dyn DiskFile>, PathBuf, bool), DiskError> {
        if let Some((file, path)) = self.spare.take() {
            if self.has_name(&*file, &path) {
                return Ok((file, path, false));
            }
            self.spare.put(None);
        }
        // On a full disk, what has to be written uses the reserve.
        if self.room.is_closed(Why::Disk)
            && let Some((file, path)) = self.room.take_reserve()
            && self.has_name(&*file, &path)
        {
            return Ok((file, path, true));
        }
        let path = self.folder.join(NEXT);
        let file = self.disk.create(&path).map_err(|e| self.refused("create", &path, &e))?;
        Ok((file, path, true))
    }
}

/// What a new segment says of its file, which gets its whole length if the file system allows it.
fn flags(file: &dyn DiskFile, capacity: u64, prewritten: bool) -> Flags {
    let full_length = prewritten || file.truncate(capacity).is_ok();
    // The start marks the oldest segment before anything is written.
    Flags { full_length, prewritten, beginning_marked: true }
}

/// Whether writing to the segment needs new blocks. One of an earlier program was written in advance if it has its
/// whole length.
fn grows(segment: SegmentHeader, file: &dyn DiskFile) -> bool {
    let Flags { full_length, prewritten, .. } = segment.flags;
    if full_length { !prewritten } else { file.len().is_ok_and(|len| len < segment.capacity) }
}

/// Makes the first segment of a new store.
pub(crate) fn create_first(
    disk: &dyn Disk,
    folder: &Path,
    (identity, created_ms): (Identity, u64),
    capacity: u64,
) -> std::io::Result<SegmentHeader> {
    let next = folder.join(NEXT);
    let file = disk.create(&next)?;
    let flags = flags(&*file, capacity, false);
    let (base, prev_end, epoch, clock) = (0, 0, 1, ClockSet::default());
    let segment =
        SegmentHeader { identity, base, capacity, prev_end, epoch, created_ms, clock, flags };
    let path = segment.path(folder);
    file.write_all_at(&segment.to_bytes(), 0)?;
    file.sync()?;
    disk.rename(&next, &path)?;
    disk.sync_folder(folder)?;
    debug_assert_eq!(segment.first(), SEGMENT_HEADER_BYTES);
    Ok(segment)
}
