//! Rolls the log over to the next segment, and refuses requests when the log is full.

use super::committer::Committer;
use crate::embedded::core::inbox::Reply;
use crate::embedded::core::shared::Shared;
use crate::embedded::format::entry::{Effects, Entry};
use crate::embedded::format::record;
use crate::embedded::indexing::indexer::Job;
use crate::embedded::log::segments::Segment;
use crate::embedded::log::summary::Summary;
use crate::embedded::log::writer::DiskError;
use crate::embedded::platform::clock::END_OF_TIME;
use crate::embedded::platform::locks::{lock, read_lock, write_lock};
use crate::embedded::space::guard::Why;
use dispatcher_model::Timestamp;
use std::sync::Arc;

impl Committer {
    /// Bytes reserved for the summary at the end of the segment.
    fn reserve(&self) -> u64 {
        Summary::frame_bytes_max(self.state.targets.len() + 1)
    }

    /// Whether a frame of so many bytes needs a new segment.
    pub(crate) fn would_roll(&self, bytes: u64) -> bool {
        !(self.log.is_open() && self.log.fits(bytes + self.reserve()))
    }

    /// Whether the log has no room for another segment.
    pub(crate) fn is_full(&self) -> bool {
        let segments = read_lock(&self.shared.reader.segments);
        self.shared.retention.is_full(&segments, self.shared.spare.capacity)
    }

    /// Requests are refused until a segment is removed.
    pub(crate) fn no_room(&self) -> DiskError {
        let Shared { retention, directory, room, .. } = &*self.shared;
        let kept_by = lock(&retention.kept_by).clone();
        let kept_by = if kept_by.is_empty() { "a target".to_owned() } else { kept_by };
        let reason = format!(
            "the log in {} has reached store.retention.size ({} bytes), and {kept_by} still needs \
             its oldest part: let it deliver, drop what waits for it (`dispatcher drop --all --target NAME`), move it to another target, or \
             allow more",
            directory.display(),
            retention.bytes_max.unwrap_or_default(),
        );
        room.close(Why::Quota, reason.clone());
        retention.ring();
        DiskError::Full(reason)
    }

    /// Makes room for that many bytes: rolls over to the next segment when needed, also after a failure.
    pub(crate) fn make_room(&mut self, bytes: u64) -> Result<(), DiskError> {
        let bytes = bytes + self.reserve();
        let outdone = self.log.is_outdone() && !self.is_full();
        if self.log.is_open() && self.log.fits(bytes) && !outdone {
            return Ok(());
        }
        self.next_segment()?;
        if self.log.fits(bytes) {
            return Ok(());
        }
        Err(DiskError::SmallSegment)
    }

    /// Ends the newest segment if its first request was received before then, so that its age can end too. At the end of
    /// time one without requests ends as well. A full log gets no further segment.
    pub(super) fn end_old(&mut self, before: Timestamp, reply: Reply<bool>) {
        let old = self.summary.requests > 0 && self.summary.oldest_ms < before.as_millis();
        let ends = (old || before == END_OF_TIME) && self.log.is_open() && !self.is_full();
        let ended = if ends { self.next_segment() } else { Ok(()) };
        let _ = reply.send(ended.map(|()| ends).map_err(|error| error.to_store()));
    }

    fn next_segment(&mut self) -> Result<(), DiskError> {
        if self.shared.room.is_closed(Why::Gone) {
            // Another log may be there now.
            return Err(DiskError::Full(self.shared.room.why().unwrap_or_default()));
        }
        if self.log.is_open() {
            self.commit()?;
            self.end_segment()?;
        }
        let bytes_max = self.log.frame_bytes_max() / 2;
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let (kind, checkpoint) = self.state.checkpoint(bytes_max);
        let frame = record::frame(kind, &checkpoint, 1_024).ok_or(DiskError::Checkpoint)?;
        let (size, payload_crc) = (frame.size(), frame.payload_crc);
        let (sets, number) = self.shared.retention.clock_known(self.shared.now());
        let segment = self.log.roll(frame, &sets)?;
        self.shared.retention.clock_said(number);
        let ended = std::mem::take(&mut self.summary);
        let mut segments = write_lock(&self.shared.reader.segments);
        if let Some(last) = segments.list.last_mut() {
            last.summary = Some(Arc::new(ended));
        }
        segments.list.push(Segment::new(segment, None));
        segments.tail = self.log.durable();
        drop(segments);
        // No segment is prepared when the log has no room for it.
        self.shared.spare.want(!self.is_full());
        self.shared.retention.ring();
        let (lsn, effects) = (segment.first(), Effects::Checkpoint(Arc::new(checkpoint)));
        let entry = Entry { lsn, end: lsn + size, epoch: self.log.epoch(), payload_crc, effects };
        self.state.apply(&entry);
        self.to_index(Job::Entries(vec![entry]));
        self.to_index(Job::Sync);
        Ok(())
    }

    /// Writes the summary after all durable frames. A segment without one must be read to know its content.
    fn end_segment(&mut self) -> Result<(), DiskError> {
        if let Some(mut frame) = self.summary.frame()
            && self.log.fits(frame.size())
        {
            self.log.place(&mut frame);
            let synced = self.log.sync();
            return self.ended(synced);
        }
        Ok(())
    }
}
