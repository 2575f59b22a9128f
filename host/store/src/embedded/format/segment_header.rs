//! The header of a segment, and the name of its file.

use std::path::{Path, PathBuf};

use super::frame::checksum;
use crate::embedded::platform::clock::ClockSet;

/// A page of its own, so that writing frames never touches the page of the header.
pub(crate) const SEGMENT_HEADER_BYTES: u64 = HEADER_LEN as u64;

pub(crate) const HEADER_LEN: usize = 4_096;

pub(crate) const VERSION: u8 = 1;

const MAGIC: &[u8; 8] = b"DISPLOG\n";

pub(crate) const USED: usize = 72;

/// Where the mark of the log's first segment is: in a sector of its own, because it is written into a finished
/// segment and a torn write may not damage its header.
pub(crate) const BEGINNING_AT: usize = 512;

pub(crate) const BEGINNING_LEN: usize = 12;

/// Where the mark of a segment that has ended is: in a sector of its own, too.
pub(crate) const ENDING_AT: usize = 1_024;

pub(crate) const ENDING_LEN: usize = 12;

/// No segment begins at this place or behind it: the numbers of events have room for the places of the log below.
const BASE_MAX: u64 = 1 << 53;

/// Which store a file belongs to; random, given at the store's creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// In every event id.
    pub store: u16,
    /// In every segment, and the seed of its frames' sums.
    pub uuid: u64,
}

impl Identity {
    pub(crate) const fn salt(self) -> u32 {
        let [a, b, c, d, e, f, g, h] = self.uuid.to_le_bytes();
        u32::from_le_bytes([a, b, c, d]) ^ u32::from_le_bytes([e, f, g, h])
    }
}

/// What proves that something of the log is missing. Segments of earlier programs say none of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    /// The file has had `capacity` bytes since it got its name: a shorter one was cut.
    pub full_length: bool,
    /// All of these bytes were written before. Otherwise most of them are a hole, which is slower to sync.
    pub prewritten: bool,
    /// When it was made, the oldest segment was the first one of the store or marked as the beginning.
    pub beginning_marked: bool,
}

/// Bit of the flags' byte: what the header says of the clock is unsure.
const CLOCK_UNSURE: u8 = 8;

impl Flags {
    const fn to_byte(self) -> u8 {
        self.full_length as u8 | (self.prewritten as u8) << 1 | (self.beginning_marked as u8) << 2
    }

    const fn from_byte(byte: u8) -> Self {
        Self { full_length: byte & 1 > 0, prewritten: byte & 2 > 0, beginning_marked: byte & 4 > 0 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub identity: Identity,
    pub base: u64,
    pub capacity: u64,
    /// Where the previous segment ends; equal to `base` in the first one.
    pub prev_end: u64,
    pub epoch: u32,
    pub created_ms: u64,
    pub clock: ClockSet,
    pub flags: Flags,
}

/// Why bytes are not a usable header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadHeader {
    Damaged,
    Version(u8),
}

impl SegmentHeader {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_LEN);
        bytes.extend_from_slice(MAGIC);
        let unsure = if self.clock.unsure { CLOCK_UNSURE } else { 0 };
        bytes.extend_from_slice(&[VERSION, self.flags.to_byte() | unsure]);
        bytes.extend_from_slice(&self.identity.store.to_le_bytes());
        bytes.extend_from_slice(&self.epoch.to_le_bytes());
        for field in [
            self.identity.uuid,
            self.base,
            self.capacity,
            self.prev_end,
            self.created_ms,
            self.clock.at_ms,
        ] {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
        bytes.extend_from_slice(&self.clock.ahead_min.to_le_bytes());
        let crc = checksum(0, &bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.resize(HEADER_LEN, 0);
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, BadHeader> {
        let bytes: &[u8; USED] = bytes.first_chunk().ok_or(BadHeader::Damaged)?;
        if &bytes[..8] != MAGIC {
            return Err(BadHeader::Damaged);
        }
        // The version decides how the rest is read, the sum included.
        if bytes[8] != VERSION {
            return Err(BadHeader::Version(bytes[8]));
        }
        let u32_at =
            |i: usize| u32::from_le_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
        let u64_at = |i: usize| u64::from(u32_at(i)) | u64::from(u32_at(i + 4)) << 32;
        if u32_at(USED - 4) != checksum(0, &bytes[..USED - 4]) {
            return Err(BadHeader::Damaged);
        }
        Ok(Self {
            identity: Identity {
                store: u16::from_le_bytes([bytes[10], bytes[11]]),
                uuid: u64_at(16),
            },
            epoch: u32_at(12),
            base: u64_at(24),
            capacity: u64_at(32),
            prev_end: u64_at(40),
            created_ms: u64_at(48),
            clock: ClockSet {
                at_ms: u64_at(56),
                ahead_min: u32_at(64).cast_signed(),
                unsure: bytes[9] & CLOCK_UNSURE > 0,
            },
            flags: Flags::from_byte(bytes[9]),
        })
    }

    /// The mark that says that the log begins with this segment, for [`BEGINNING_AT`]. The first segment of a
    /// store needs none.
    pub(crate) fn beginning(&self) -> [u8; BEGINNING_LEN] {
        let mut bytes = [0; BEGINNING_LEN];
        let (base, sum) = bytes.split_at_mut(8);
        base.copy_from_slice(&self.base.to_le_bytes());
        sum.copy_from_slice(&checksum(self.identity.salt(), base).to_le_bytes());
        bytes
    }

    /// Whether the log may begin with this segment, whose first bytes these are.
    pub(crate) fn begins_log(&self, bytes: &[u8]) -> bool {
        let mark = bytes.get(BEGINNING_AT..BEGINNING_AT + BEGINNING_LEN);
        self.base == 0 || mark == Some(&self.beginning()[..])
    }

    /// The mark that says that this segment ended there and that the next one has its name, for [`ENDING_AT`].
    pub(crate) fn ending(&self, end: u64) -> [u8; ENDING_LEN] {
        let mut summed = [0; 16];
        let (base, at) = summed.split_at_mut(8);
        base.copy_from_slice(&self.base.to_le_bytes());
        at.copy_from_slice(&end.to_le_bytes());
        let mut bytes = [0; ENDING_LEN];
        let (at, sum) = bytes.split_at_mut(8);
        at.copy_from_slice(&end.to_le_bytes());
        sum.copy_from_slice(&checksum(self.identity.salt(), &summed).to_le_bytes());
        bytes
    }

    /// Where this segment, whose first bytes these are, ended; `None` if no mark says so.
    pub(crate) fn ended_at(&self, bytes: &[u8]) -> Option<u64> {
        let mark = bytes.get(ENDING_AT..ENDING_AT + ENDING_LEN)?;
        let end = u64::from_le_bytes(*mark.first_chunk()?);
        let is_ours = mark == &self.ending(end)[..];
        (is_ours && (self.first()..=self.limit()).contains(&end)).then_some(end)
    }

    /// The length of the file since it got its name; zero if that is not known.
    pub(crate) const fn len_min(&self) -> u64 {
        if self.flags.full_length { self.capacity } else { 0 }
    }

    /// Whether a file of that length lost its end.
    pub(crate) const fn was_cut(&self, len: u64) -> bool {
        len < self.len_min()
    }

    /// Where its first frame starts.
    pub(crate) const fn first(&self) -> u64 {
        self.base + SEGMENT_HEADER_BYTES
    }

    pub(crate) const fn limit(&self) -> u64 {
        self.base + self.capacity
    }

    pub(crate) fn path(&self, folder: &Path) -> PathBuf {
        folder.join(file_name(self.base))
    }
}

pub(crate) fn file_name(base: u64) -> String {
    format!("seg-{base:016x}.log")
}

/// The base that a file's name says; `None` for any other file.
pub(crate) fn base_of(name: &str) -> Option<u64> {
    let hex = name.strip_prefix("seg-")?.strip_suffix(".log")?;
    let base = (hex.len() == 16).then(|| u64::from_str_radix(hex, 16).ok())?;
    base.filter(|base| *base < BASE_MAX)
}

/// The header of a segment of 1 MiB.
#[cfg(test)]
pub(crate) fn sample(base: u64, prev_end: u64) -> SegmentHeader {
    let identity = Identity { store: 9, uuid: 0x1234_5678_9abc_def0 };
    let (capacity, epoch, created_ms, flags) = (1 << 20, 3, 5, Flags::default());
    let clock = ClockSet::default();
    SegmentHeader { identity, base, capacity, prev_end, epoch, created_ms, clock, flags }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_header_survives_and_no_flipped_bit_goes_unseen(base: u64, epoch: u32, uuid: u64, flags in 0u8..8, at_ms: u64, ahead_min: i32, unsure: bool, bit in 0usize..USED * 8) {
            let (flags, identity) = (Flags::from_byte(flags), Identity { store: 7, uuid });
            let clock = ClockSet { at_ms, ahead_min, unsure };
            let header = SegmentHeader { base, epoch, identity, clock, flags, ..sample(0, 0) };
            let mut bytes = header.to_bytes();
            prop_assert_eq!(bytes.len() as u64, SEGMENT_HEADER_BYTES);
            prop_assert_eq!(SegmentHeader::from_bytes(&bytes), Ok(header));
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(SegmentHeader::from_bytes(&bytes).is_err());
        }
    }

    #[test]
    fn only_its_own_mark_says_that_the_log_begins_there() {
        let (one, other) = (sample(1 << 20, 0), sample(2 << 20, 0));
        let mut bytes = one.to_bytes();
        assert!(!one.begins_log(&bytes) && sample(0, 0).begins_log(&[]));
        bytes[BEGINNING_AT..BEGINNING_AT + BEGINNING_LEN].copy_from_slice(&one.beginning());
        assert!(one.begins_log(&bytes) && !other.begins_log(&bytes));
        bytes[BEGINNING_AT] ^= 1;
        assert!(!one.begins_log(&bytes));
    }

    #[test]
    fn only_its_own_mark_says_where_a_segment_ended() {
        let (one, other) = (sample(1 << 20, 0), sample(2 << 20, 0));
        let mut bytes = one.to_bytes();
        assert_eq!(one.ended_at(&bytes), None);
        for end in [one.first(), one.limit()] {
            bytes[ENDING_AT..ENDING_AT + ENDING_LEN].copy_from_slice(&one.ending(end));
            assert_eq!((one.ended_at(&bytes), other.ended_at(&bytes)), (Some(end), None));
        }
        bytes[ENDING_AT + 1] ^= 1;
        assert_eq!(one.ended_at(&bytes), None);
        bytes[ENDING_AT..ENDING_AT + ENDING_LEN].copy_from_slice(&one.ending(one.base));
        assert_eq!(one.ended_at(&bytes), None, "no segment ends before it begins");
    }

    #[test]
    fn another_version_is_named() {
        let mut bytes = sample(0, 0).to_bytes();
        bytes[8] = 2;
        assert_eq!(SegmentHeader::from_bytes(&bytes), Err(BadHeader::Version(2)));
    }

    #[test]
    fn names_say_the_base_and_nothing_else_is_a_segment() {
        assert_eq!(base_of(&file_name(64 << 20)), Some(64 << 20));
        let too_far = file_name(u64::MAX);
        for name in ["seg-1.log", "spare.tmp", "seg-00000000000000zz.log", "seg-.log", &*too_far] {
            assert_eq!(base_of(name), None, "{name}");
        }
    }
}
