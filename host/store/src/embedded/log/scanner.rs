//! Reading frames in their order, and finding the next one behind damage.

use std::io;

use crate::embedded::format::frame::{ALIGN, HEADER_BYTES, Header};
use crate::embedded::format::segment_header::SegmentHeader;
use crate::embedded::platform::disk::DiskFile;

/// Read at once, unless a frame is larger.
pub(crate) const CHUNK_BYTES: usize = 1 << 20;

/// A part of one segment, between two places of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub segment: SegmentHeader,
    pub from: u64,
    pub to: u64,
}

pub(crate) enum Step<'a> {
    Frame(Header, &'a [u8]),
    /// No frame of this log is at this place.
    Bad(u64),
    End,
}

/// Walks the frames of a stretch of a segment.
pub(crate) struct Scanner<'a> {
    file: &'a dyn DiskFile,
    segment: SegmentHeader,
    chunk_bytes: usize,
    at: u64,
    to: u64,
    /// Frames of an earlier epoch are remains of a log end that was cut off.
    epoch: u32,
    buffer: Vec<u8>,
    /// Place of `buffer[0]`.
    start: u64,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(file: &'a dyn DiskFile, stretch: Stretch, chunk_bytes: usize) -> Self {
        let Stretch { segment, from, to } = stretch;
        let chunk_bytes = chunk_bytes.max(HEADER_BYTES);
        let epoch = segment.epoch;
        Self { file, segment, chunk_bytes, at: from, to, epoch, buffer: Vec::new(), start: from }
    }

    /// Frames of an epoch before that one do not count.
    pub(crate) fn since(mut self, epoch: u32) -> Self {
        self.epoch = self.epoch.max(epoch);
        self
    }

    pub(crate) const fn at(&self) -> u64 {
        self.at
    }

    /// The store whose log this is.
    pub(crate) const fn store(&self) -> u16 {
        self.segment.identity.store
    }

    pub(crate) const fn epoch(&self) -> u32 {
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

    /// The frame at the current place; moves on only when there is one.
    pub(crate) fn step(&mut self) -> io::Result<Step<'_>> {
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
    /// start; the scanner is before it then, or at the end.
    pub(crate) fn resync(&mut self) -> io::Result<Option<Header>> {
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
    pub(crate) fn blank(&mut self) -> io::Result<bool> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::format::frame::{Frame, Kind};
    use crate::embedded::format::segment_header::{Identity, sample};

    /// A file in memory.
    struct Memory(Vec<u8>);

    impl DiskFile for Memory {
        fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
            let from = self.0.len().min(usize::try_from(offset).unwrap());
            let len = out.len().min(self.0.len() - from);
            out[..len].copy_from_slice(&self.0[from..from + len]);
            Ok(len)
        }
        fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
            unreachable!()
        }
        fn sync(&self) -> io::Result<()> {
            unreachable!()
        }
        fn len(&self) -> io::Result<u64> {
            Ok(self.0.len() as u64)
        }
        fn truncate(&self, _: u64) -> io::Result<()> {
            unreachable!()
        }
    }

    fn segment() -> SegmentHeader {
        let identity = Identity { store: 1, uuid: 77 };
        SegmentHeader { identity, epoch: 1, ..sample(1 << 20, 0) }
    }

    /// A segment's bytes with frames of these payloads.
    fn file(payloads: &[Vec<u8>]) -> Vec<u8> {
        let segment = segment();
        let mut bytes = segment.to_bytes();
        for payload in payloads {
            let mut frame = vec![0; HEADER_BYTES];
            frame.extend_from_slice(payload);
            let mut frame = Frame::seal(Kind::Request, frame).unwrap();
            let lsn = segment.base + bytes.len() as u64;
            bytes.extend_from_slice(frame.place(segment.identity.salt(), lsn, lsn, 1));
        }
        bytes
    }

    fn read(bytes: Vec<u8>) -> (Vec<Vec<u8>>, bool) {
        let segment = segment();
        let to = segment.base + bytes.len() as u64;
        let file = Memory(bytes);
        let mut scanner = Scanner::new(&file, Stretch { segment, from: segment.first(), to }, 64);
        let mut found = Vec::new();
        loop {
            match scanner.step().unwrap() {
                Step::Frame(_, payload) => found.push(payload.to_vec()),
                Step::Bad(_) => return (found, false),
                Step::End => return (found, true),
            }
        }
    }

    #[test]
    fn frames_larger_than_a_read_come_whole() {
        let payloads: Vec<Vec<u8>> = [0usize, 1, 63, 64, 65, 1_000].map(|n| vec![7; n]).to_vec();
        assert_eq!(read(file(&payloads)), (payloads, true));
    }

    #[test]
    fn a_frame_cut_anywhere_is_no_frame() {
        let payloads = vec![vec![1; 20], (0..200u8).cycle().take(20_000).collect()];
        let whole = file(&payloads);
        let first_end = file(&payloads[..1]).len();
        for cut in first_end + 1..whole.len() {
            let (found, clean) = read(whole[..cut].to_vec());
            assert_eq!((found.len(), clean), (1, false), "cut at {cut}");
        }
        // In a segment written in advance, zeros follow the cut.
        for cut in (first_end + 1..whole.len() - 8).step_by(211) {
            let mut zeroed = whole.clone();
            zeroed[cut..].fill(0);
            assert_eq!(read(zeroed).0.len(), 1, "zeros from {cut}");
        }
    }

    #[test]
    fn behind_damage_the_next_header_is_found() {
        let payloads = vec![vec![1; 100], vec![2; 100], vec![3; 100]];
        let mut bytes = file(&payloads);
        let second = file(&payloads[..1]).len();
        bytes[second + 50] ^= 1;
        let (segment, file) = (segment(), Memory(bytes));
        let to = segment.limit();
        let from = segment.base + second as u64;
        let mut scanner = Scanner::new(&file, Stretch { segment, from, to }, 64);
        assert!(matches!(scanner.step().unwrap(), Step::Bad(lsn) if lsn == from));
        let next = scanner.resync().unwrap().unwrap();
        assert_eq!((next.lsn, scanner.at()), (from + 144, from + 144));
        assert!(matches!(scanner.step().unwrap(), Step::Frame(_, payload) if payload == [3; 100]));
    }
}
