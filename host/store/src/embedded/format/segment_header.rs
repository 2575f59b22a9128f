//! The header of a segment, and the name of its file.

use std::path::{Path, PathBuf};

use super::frame::checksum;

/// A page of its own, so that writing frames never touches the page of the header.
pub(crate) const SEGMENT_HEADER_BYTES: u64 = HEADER_LEN as u64;

pub(crate) const HEADER_LEN: usize = 4_096;

pub(crate) const VERSION: u8 = 1;

const MAGIC: &[u8; 8] = b"DISPLOG\n";

pub(crate) const USED: usize = 72;

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub identity: Identity,
    pub base: u64,
    pub capacity: u64,
    /// Where the previous segment ends; equal to `base` in the first one.
    pub prev_end: u64,
    pub epoch: u32,
    pub created_ms: u64,
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
        bytes.extend_from_slice(&[VERSION, 0]);
        bytes.extend_from_slice(&self.identity.store.to_le_bytes());
        bytes.extend_from_slice(&self.epoch.to_le_bytes());
        for field in [self.identity.uuid, self.base, self.capacity, self.prev_end, self.created_ms]
        {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
        bytes.resize(USED - 4, 0);
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
        })
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
    (hex.len() == 16).then(|| u64::from_str_radix(hex, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(base: u64, prev_end: u64) -> SegmentHeader {
        let identity = Identity { store: 9, uuid: 0x1234_5678_9abc_def0 };
        SegmentHeader { identity, base, capacity: 1 << 20, prev_end, epoch: 3, created_ms: 5 }
    }

    proptest! {
        #[test]
        fn a_header_survives_and_no_flipped_bit_goes_unseen(base: u64, epoch: u32, uuid: u64, bit in 0usize..USED * 8) {
            let header = SegmentHeader { base, epoch, identity: Identity { store: 7, uuid }, ..header(0, 0) };
            let mut bytes = header.to_bytes();
            prop_assert_eq!(bytes.len() as u64, SEGMENT_HEADER_BYTES);
            prop_assert_eq!(SegmentHeader::from_bytes(&bytes), Ok(header));
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(SegmentHeader::from_bytes(&bytes).is_err());
        }
    }

    #[test]
    fn another_version_is_named() {
        let mut bytes = header(0, 0).to_bytes();
        bytes[8] = 2;
        assert_eq!(SegmentHeader::from_bytes(&bytes), Err(BadHeader::Version(2)));
    }

    #[test]
    fn names_say_the_base_and_nothing_else_is_a_segment() {
        assert_eq!(base_of(&file_name(64 << 20)), Some(64 << 20));
        for name in ["seg-1.log", "spare.tmp", "seg-00000000000000zz.log", "seg-.log"] {
            assert_eq!(base_of(name), None, "{name}");
        }
    }
}
