//! The unit of the log: a header of 40 bytes, then the payload, then zeros up to 8 bytes.
//!
//! A header says where it is (`lsn`), so that a frame of another place never passes for one, and
//! how far the log was durable when it was written (`durable_lsn`), which separates damage from a torn
//! end. Its sum starts from a number that only this store knows: bytes that a sender chose cannot
//! pass for a header. All integers are little endian.

use bytes::Bytes;
use crc32fast::Hasher;

const MAGIC: u32 = 0x4652_4d31;

pub(crate) const HEADER_BYTES: usize = 40;

/// Frames start at multiples of this.
pub(crate) const ALIGN: u64 = 8;

/// What a payload is. Numbers are never reused. A new layout of a payload is a new kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Request = 1,
    Settlements = 2,
    Registry = 3,
    /// An event moved out of a segment that is removed.
    Moved = 6,
    /// An operator's.
    Act = 7,
    /// The last frame of a segment.
    Summary = 8,
    Checkpoint = 9,
    DeadRange = 10,
    /// Fills a place where a repair could read nothing.
    Lost = 12,
    /// A checkpoint that leaves out some of what is settled above cursors.
    CheckpointPart = 13,
}

impl Kind {
    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Request,
            2 => Self::Settlements,
            3 => Self::Registry,
            6 => Self::Moved,
            7 => Self::Act,
            8 => Self::Summary,
            9 => Self::Checkpoint,
            10 => Self::DeadRange,
            12 => Self::Lost,
            13 => Self::CheckpointPart,
            _ => return None,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// A byte, not a [`Kind`]: a header of a later version is still a header.
    pub kind: u8,
    /// Bytes of payload.
    pub len: u32,
    pub payload_crc: u32,
    pub lsn: u64,
    pub durable_lsn: u64,
    pub epoch: u32,
}

impl Header {
    pub(crate) fn write(&self, salt: u32, out: &mut [u8]) {
        out[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        out[4..8].copy_from_slice(&[self.kind, 0, 0, 0]);
        out[8..12].copy_from_slice(&self.len.to_le_bytes());
        out[12..16].copy_from_slice(&self.payload_crc.to_le_bytes());
        out[16..24].copy_from_slice(&self.lsn.to_le_bytes());
        out[24..32].copy_from_slice(&self.durable_lsn.to_le_bytes());
        out[32..36].copy_from_slice(&self.epoch.to_le_bytes());
        let crc = checksum(salt, &out[..36]);
        out[36..40].copy_from_slice(&crc.to_le_bytes());
    }

    /// `None` unless `bytes` start with a whole header of this store.
    pub(crate) fn read(salt: u32, bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        let u32_at =
            |i: usize| u32::from_le_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
        let u64_at = |i: usize| u64::from(u32_at(i)) | u64::from(u32_at(i + 4)) << 32;
        if u32_at(0) != MAGIC || u32_at(36) != checksum(salt, &bytes[..36]) {
            return None;
        }
        Some(Self {
            kind: bytes[4],
            len: u32_at(8),
            payload_crc: u32_at(12),
            lsn: u64_at(16),
            durable_lsn: u64_at(24),
            epoch: u32_at(32),
        })
    }

    /// Where the next frame starts.
    pub(crate) const fn end(&self) -> u64 {
        self.lsn + frame_bytes(self.len as usize)
    }
}

/// Bytes that a payload of that length takes in the log.
pub(crate) const fn frame_bytes(payload: usize) -> u64 {
    (HEADER_BYTES as u64 + payload as u64).next_multiple_of(ALIGN)
}

pub(crate) fn checksum(salt: u32, bytes: &[u8]) -> u32 {
    let mut hasher = Hasher::new_with_initial(salt);
    hasher.update(bytes);
    hasher.finalize()
}

/// A frame that waits for its place: whole but for the header, its payload summed where it was made.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub kind: Kind,
    bytes: Vec<u8>,
    len: u32,
    pub payload_crc: u32,
}

impl Frame {
    /// Nothing yet.
    pub(crate) const fn empty(kind: Kind) -> Self {
        Self { kind, bytes: Vec::new(), len: 0, payload_crc: 0 }
    }

    /// `bytes` is room of [`HEADER_BYTES`] followed by the payload. `None` above 4 GiB.
    pub(crate) fn seal(kind: Kind, mut bytes: Vec<u8>) -> Option<Self> {
        let len = u32::try_from(bytes.len().checked_sub(HEADER_BYTES)?).ok()?;
        let payload_crc = crc32fast::hash(&bytes[HEADER_BYTES..]);
        let whole = usize::try_from(frame_bytes(len as usize)).ok()?;
        bytes.resize(whole, 0);
        Some(Self { kind, bytes, len, payload_crc })
    }

    /// All bytes it takes in the log.
    pub(crate) const fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(crate) fn payload(&self) -> &[u8] {
        self.bytes.get(HEADER_BYTES..HEADER_BYTES + self.len as usize).unwrap_or_default()
    }

    /// The payload, for those who go on reading it in memory.
    pub(crate) fn into_payload(self) -> Bytes {
        let len = self.len as usize;
        Bytes::from(self.bytes).slice(HEADER_BYTES..HEADER_BYTES + len)
    }

    /// Fills in the header.
    pub(crate) fn place(&mut self, salt: u32, lsn: u64, durable_lsn: u64, epoch: u32) -> &[u8] {
        let header = Header {
            kind: self.kind as u8,
            len: self.len,
            payload_crc: self.payload_crc,
            lsn,
            durable_lsn,
            epoch,
        };
        header.write(salt, &mut self.bytes);
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn header()(kind: u8, len: u32, payload_crc: u32, lsn in 0u64..1 << 54, durable_lsn: u64, epoch: u32) -> Header {
            Header { kind, len, payload_crc, lsn, durable_lsn, epoch }
        }
    }

    proptest! {
        #[test]
        fn a_header_survives_the_round_trip(header in header(), salt: u32) {
            let mut bytes = [0u8; HEADER_BYTES];
            header.write(salt, &mut bytes);
            prop_assert_eq!(Header::read(salt, &bytes), Some(header));
        }

        #[test]
        fn a_header_with_any_bit_flipped_is_none(header in header(), salt: u32, bit in 0usize..HEADER_BYTES * 8) {
            let mut bytes = [0u8; HEADER_BYTES];
            header.write(salt, &mut bytes);
            // The three spare bytes are covered by the sum as well.
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Header::read(salt, &bytes), None);
        }

        #[test]
        fn a_header_of_another_store_is_none(header in header(), salt: u32, other: u32) {
            prop_assume!(salt != other);
            let mut bytes = [0u8; HEADER_BYTES];
            header.write(salt, &mut bytes);
            prop_assert_eq!(Header::read(other, &bytes), None);
        }

        #[test]
        fn a_frame_is_aligned_and_carries_its_payload(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = vec![0; HEADER_BYTES];
            bytes.extend_from_slice(&payload);
            let mut frame = Frame::seal(Kind::Request, bytes).unwrap();
            prop_assert_eq!(frame.size() % ALIGN, 0);
            let size = frame.size();
            let bytes = frame.place(1, 4096, 0, 3).to_vec();
            let header = Header::read(1, &bytes).unwrap();
            prop_assert_eq!((header.end(), header.len as usize), (4096 + size, payload.len()));
            prop_assert_eq!(&bytes[HEADER_BYTES..HEADER_BYTES + payload.len()], &payload[..]);
            prop_assert_eq!(crc32fast::hash(&payload), header.payload_crc);
        }
    }
}
