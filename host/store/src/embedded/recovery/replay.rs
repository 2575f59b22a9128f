//! Reads the log of a store that is being opened, from a given place to its end.
//!
//! Every segment is synced before it is read: after a crash its newest frames may be only in the kernel's
//! memory, and the index must not know what a power cut could still lose.
//!
//! A place without a frame is damage if a later frame or the next segment proves that it was durable.
//! Otherwise it is the end of the log, which is cut off there. The index only reads what is durable: a log
//! that ends before the place that its index has read is damaged, too. So is one whose newest file is shorter than
//! it was made, or says that another one follows it.

use std::path::PathBuf;

use super::rewrite::rewrite;
use super::torn_tail;
use crate::embedded::core::machine::Machine;
use crate::embedded::error::{OpenError, at};
use crate::embedded::format::entry::Entry;
use crate::embedded::format::frame::HEADER_BYTES;
use crate::embedded::format::segment_header::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::embedded::indexing::lookup::Lookup;
use crate::embedded::log::ending::ended_at;
use crate::embedded::log::scanner::{CHUNK_BYTES, Scanner, Step, Stretch};
use crate::embedded::log::segments::Segment;
use crate::embedded::log::summary::{self, Summary};
use crate::embedded::platform::disk::DiskFile;

pub(crate) struct Recovery<'a> {
    pub machine: &'a Machine,
    pub folder: PathBuf,
    pub list: Vec<SegmentHeader>,
    pub epoch: u32,
    /// Of the newest segment.
    pub summary: Summary,
    /// The log was durable up to here, as its index proves.
    pub proven: u64,
    /// Why the index is rebuilt, to be logged if the store opens.
    pub rebuilt_for: Option<String>,
}

impl Recovery<'_> {
    /// Passes the frames from that place on to `read`, ignoring those of earlier epochs; returns where the
    /// log ends.
    pub(crate) fn replay(
        &mut self,
        (mut lsn, mut epoch): (u64, u32),
        read: &mut dyn FnMut(&Entry) -> Result<(), OpenError>,
    ) -> Result<u64, OpenError> {
        for i in 0..self.list.len() {
            let segment = self.list[i];
            let next = self.list.get(i + 1).copied();
            if next.is_some_and(|next| lsn >= next.prev_end) {
                continue;
            }
            let path = segment.path(&self.folder);
            let file = self.machine.disk.open(&path).map_err(at("open", &path))?;
            if next.is_some() {
                file.sync().map_err(at("sync", &path))?;
            }
            let len = file.len().map_err(at("read", &path))?;
            let to = next.map_or(segment.base + len, |next| next.prev_end);
            let is_short = next.is_none() && self.is_short(&*file, &segment)?;
            let stretch = Stretch { segment, from: lsn.max(segment.first()), to };
            if next.is_none() {
                self.newest(&*file, stretch, epoch).map_err(at("read or write", &path))?;
            }
            let mut scanner = Scanner::new(&*file, stretch, CHUNK_BYTES).since(epoch);
            // A segment gets its name once its checkpoint is durable; the first segment has none.
            let durable = if segment.base > 0 { segment.first() + 1 } else { 0 };
            loop {
                let corrupt = |lsn: u64, what| OpenError::Corrupt {
                    segment: path.clone(),
                    offset: lsn - segment.base,
                    what,
                };
                match scanner.step().map_err(at("read", &path))? {
                    Step::Frame(header, payload) => {
                        let entry = Entry::read(&header, payload)
                            .map_err(|_| corrupt(header.lsn, "a record cannot be read"))?;
                        if next.is_none() {
                            self.summary.add(&entry);
                        }
                        read(&entry)?;
                    }
                    Step::Bad(lsn) if next.is_some() || lsn < durable => {
                        return Err(corrupt(lsn, "a frame is missing"));
                    }
                    Step::Bad(lsn) if is_short || lsn < self.proven => break,
                    Step::Bad(lsn) => {
                        let rest = Stretch { from: lsn, ..stretch };
                        let Some(newest) = torn_tail::cut(&*file, &path, rest, scanner.epoch())?
                        else {
                            return Err(corrupt(lsn, "a frame is missing before others"));
                        };
                        epoch = epoch.max(newest);
                        break;
                    }
                    Step::End => break,
                }
            }
            if scanner.at() < durable {
                let what = "the file was cut short";
                return Err(OpenError::Corrupt {
                    segment: path,
                    offset: SEGMENT_HEADER_BYTES,
                    what,
                });
            }
            epoch = epoch.max(scanner.epoch());
            lsn = scanner.at();
            if next.is_none() {
                self.check_end(&*file, path, &segment, lsn)?;
            }
        }
        // A new epoch: what an earlier process wrote behind the end is never taken for a new frame.
        self.epoch = epoch.max(self.epoch) + 1;
        Ok(lsn)
    }

    /// Whether something is missing behind what the newest file has.
    fn is_short(&self, file: &dyn DiskFile, newest: &SegmentHeader) -> Result<bool, OpenError> {
        let path = newest.path(&self.folder);
        let len = file.len().map_err(at("read", &path))?;
        Ok(newest.was_cut(len) || ended_at(file, newest).map_err(at("read", &path))?.is_some())
    }

    /// Whether the newest segment may end there.
    fn check_end(
        &self,
        file: &dyn DiskFile,
        path: PathBuf,
        newest: &SegmentHeader,
        end: u64,
    ) -> Result<(), OpenError> {
        let offset = end - newest.base;
        if end < self.proven {
            let missing_bytes = self.proven - end;
            return Err(OpenError::Lost { segment: path, offset, missing_bytes });
        }
        if ended_at(file, newest).map_err(at("read", &path))?.is_some() {
            return Err(OpenError::NoEnd { segment: path });
        }
        let len = file.len().map_err(at("read", &path))?;
        // Nothing can be missing where no record has room.
        if newest.was_cut(len) && newest.limit() - end >= HEADER_BYTES as u64 {
            let missing_bytes = newest.capacity - len;
            return Err(OpenError::Cut { segment: path, offset, missing_bytes });
        }
        Ok(())
    }

    /// Makes the newest segment ready for the replay of the part that the index lacks.
    fn newest(&mut self, file: &dyn DiskFile, rest: Stretch, epoch: u32) -> std::io::Result<()> {
        let read = Stretch { from: rest.segment.first(), to: rest.from, ..rest };
        self.summary = summary::scan(file, read)?;
        rewrite(file, rest, epoch)
    }

    /// The segments, with the summaries of the closed ones.
    pub(super) fn closed(&self) -> Result<Vec<Segment>, OpenError> {
        let next = self.list.iter().skip(1).map(Some).chain([None]);
        let known = self.list.iter().zip(next).map(|(segment, next)| {
            let Some(next) = next else { return Ok(Segment::new(*segment, None)) };
            let path = segment.path(&self.folder);
            let file = self.machine.disk.open(&path).map_err(at("open", &path))?;
            let closed = Stretch { segment: *segment, from: segment.first(), to: next.prev_end };
            let summary = summary::read(&*file, closed).map_err(at("read", &path))?;
            let summary = match summary {
                Some(summary) => summary,
                None => summary::scan(&*file, closed).map_err(at("read", &path))?,
            };
            Ok(Segment::new(*segment, Some(summary)))
        });
        known.collect()
    }

    /// The log that the index is checked against.
    pub(crate) fn lookup(&self) -> Lookup<'_> {
        let Self { machine, folder, list, .. } = self;
        Lookup { disk: &*machine.disk, home: &*machine.index, folder, list }
    }
}
