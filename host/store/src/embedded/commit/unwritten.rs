//! Records that must reach the log even if the disk refuses them now: outcomes, and acts of operators.

use super::committer::Committer;
use super::group::Unwritten;
use crate::StoreError;
use crate::embedded::core::inbox::Reply;
use crate::embedded::log::writer::DiskError;

impl Committer {
    /// Places a record that must not be lost, now or as soon as the disk takes it.
    pub(crate) fn place_or_queue(&mut self, unwritten: Unwritten) {
        self.unwritten_bytes += usize::try_from(unwritten.frame.size()).unwrap_or(usize::MAX);
        self.unwritten.push_back(unwritten);
        // The reason reaches those who wait for the disk.
        let _ = self.place_unwritten();
    }

    /// Places what the disk refused before.
    pub(crate) fn place_unwritten(&mut self) -> Result<(), DiskError> {
        while let Some(unwritten) = self.unwritten.front() {
            let bytes = unwritten.frame.size();
            self.make_room(bytes)?;
            // Making room may have put others before it.
            let Some(Unwritten { mut frame, effects }) = self.unwritten.pop_front() else { break };
            self.unwritten_bytes = self
                .unwritten_bytes
                .saturating_sub(usize::try_from(frame.size()).unwrap_or(usize::MAX));
            let lsn = self.log.place(&mut frame);
            let entry = self.entry(lsn, &frame, effects);
            self.group.act(entry, frame);
        }
        Ok(())
    }

    /// Returns the reply, unless the disk refuses records: then it gets that error.
    pub(crate) fn unless_refused<T>(&self, reply: Reply<T>) -> Option<Reply<T>> {
        if self.unwritten.is_empty() {
            return Some(reply);
        }
        let _ = reply.send(Err(disk_refuses()));
        None
    }
}

pub(super) fn disk_refuses() -> StoreError {
    StoreError::Disk { reason: "the disk refuses to write; outcomes are not stored".into() }
}
