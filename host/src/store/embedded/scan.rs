//! Reading frames in their order, and finding the next one behind damage.

use std::io;

use super::disk::DiskFile;
use super::frame::{ALIGN, HEADER_BYTES, Header};
use super::segment::{SegmentHeader, Stretch};

/// Read at once, unless a frame is larger.
pub(super) const CHUNK_BYTES: usize = 1 << 20;

pub(super) enum Step<'a> {
    Frame(Header, &'a [u8]),
    /// No frame of this log stands here.
    Bad(u64),
    End,
}

/// Goes over the frames of a stretch of a segment.
pub(super) struct Scanner<'a> {
    file: &'a dyn DiskFile,
    segment: SegmentHeader,
    chunk_bytes: usize,
    at: u64,
    to: u64,
    /// Frames of an epoch before it are left over from an end that was cut off.
    epoch: u32,
    buffer: Vec<u8>,
    /// Place of `buffer[0]`.
    start: u64,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(file: &'a dyn DiskFile, stretch: Stretch, chunk_bytes: usize) -> Self {
        let Stretch { segment, from, to } = stretch;
        let chunk_bytes = chunk_bytes.max(HEADER_BYTES);
        let epoch = segment.epoch;
        Self { file, segment, chunk_bytes, at: from, to, epoch, buffer: Vec::new(), start: from }
    }

    /// Frames of an epoch before that one do not count.
    pub(super) fn since(mut self, epoch: u32) -> Self {
        self.epoch = self.epoch.max(epoch);
        self
    }

    pub(super) const fn at(&self) -> u64 {
        self.at
    }

    pub(super) const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Makes `bytes` from the current place on available, if the stretch has them.
    fn fetch(&mut self, bytes: usize) -> io::Result<bool> {
        if (self.to - self.at) < bytes as u64 {
            return Ok(false);
        }
        let skip = usize::try_from(self.at - self.start).unwrap_or(usize::MAX);
        if self.buffer.len() >= skip.saturating_add(bytes) {
            return Ok(true);
        }
        self.buffer.drain(..skip.min(self.buffer.len()));
        self.start = self.at;
        let had = self.buffer.len();
        let left = usize::try_from(self.to - self.at).unwrap_or(usize::MAX);
        self.buffer.resize(bytes.max(self.chunk_bytes).min(left), 0);
        let offset = self.start - self.segment.base + had as u64;
        let read = self.file.read_at(&mut self.buffer[had..], offset)?;
        self.buffer.truncate(had + read);
        Ok(self.buffer.len() >= bytes)
    }

    fn view(&self, bytes: usize) -> &[u8] {
        let from = usize::try_from(self.at - self.start).unwrap_or(usize::MAX);
        self.buffer.get(from..from.saturating_add(bytes)).unwrap_or_default()
    }

    /// The frame at the current place; goes on only when there is one.
    pub(super) fn step(&mut self) -> io::Result<Step<'_>> {
        if self.at >= self.to {
            return Ok(Step::End);
        }
        let bad = self.at;
        if !self.fetch(HEADER_BYTES)? {
            return Ok(Step::Bad(bad));
        }
        let salt = self.segment.identity.salt();
        let Some(header) = Header::read(salt, self.view(HEADER_BYTES)) else {
            return Ok(Step::Bad(bad));
        };
        let right = header.lsn == bad && header.epoch >= self.epoch && header.end() <= self.to;
        let whole = HEADER_BYTES + header.len as usize;
        if !right || !self.fetch(whole)? {
            return Ok(Step::Bad(bad));
        }
        if crc32fast::hash(&self.view(whole)[HEADER_BYTES..]) != header.payload_crc {
            return Ok(Step::Bad(bad));
        }
        self.epoch = header.epoch;
        self.at = header.end();
        let from = usize::try_from(bad - self.start).unwrap_or(usize::MAX);
        Ok(Step::Frame(header, &self.buffer[from + HEADER_BYTES..from + whole]))
    }

    /// The first header of this log behind the current place, looked for at every place a frame may
    /// start; the scanner stands before it then, or at the end.
    pub(super) fn resync(&mut self) -> io::Result<Option<Header>> {
        loop {
            self.at = (self.at + ALIGN).min(self.to);
            if !self.fetch(HEADER_BYTES)? {
                self.at = self.to;
                return Ok(None);
            }
            let salt = self.segment.identity.salt();
            if let Some(header) = Header::read(salt, self.view(HEADER_BYTES))
                && header.lsn == self.at
                && header.epoch >= self.epoch
            {
                return Ok(Some(header));
            }
        }
    }

    /// Whether there are only zeros from the current place to the end.
    pub(super) fn blank(&mut self) -> io::Result<bool> {
        while self.at < self.to {
            let left = usize::try_from(self.to - self.at).unwrap_or(usize::MAX);
            let bytes = left.min(self.chunk_bytes);
            if !self.fetch(bytes)? || self.view(bytes).iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            self.at += bytes as u64;
        }
        Ok(true)
    }
}
