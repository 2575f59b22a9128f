//! Corrects a record with a single wrong bit.
//!
//! Each bit changes the checksum in its own way, so the checksum shows which bit is wrong. By chance,
//! several wrong bits can look like one: one time in 8,000 for the longest record that is tried.
//! Therefore the corrected record must also be readable.

use crate::embedded::format::entry::Entry;
use crate::embedded::format::frame::{ALIGN, HEADER_BYTES, Header};

/// Longer records are not tried: the more bits, the more likely one fits by chance.
const PAYLOAD_BYTES_MAX: usize = 64 << 10;
/// The polynomial of CRC-32, lowest bit first.
const POLYNOMIAL: u32 = 0xedb8_8320;

/// The corrected frame; `bytes` are those from `lsn` up to the next frame.
pub(super) fn heal(salt: u32, lsn: u64, bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() < HEADER_BYTES {
        return None;
    }
    if bytes.len() > HEADER_BYTES + PAYLOAD_BYTES_MAX + usize::try_from(ALIGN).ok()? {
        return None;
    }
    let right = |header: &Header| header.lsn == lsn && header.end() - lsn == bytes.len() as u64;
    let mut healed = bytes.to_vec();
    let header = match Header::read(salt, &healed) {
        Some(header) => {
            let payload = payload(&mut healed, &header)?;
            let bit = wrong_bit(crc32fast::hash(payload) ^ header.payload_crc, payload.len())?;
            payload[bit / 8] ^= 1 << (bit % 8);
            header
        }
        None => (0..HEADER_BYTES * 8).find_map(|bit| {
            healed[bit / 8] ^= 1 << (bit % 8);
            let header = Header::read(salt, &healed);
            if header.is_none() {
                healed[bit / 8] ^= 1 << (bit % 8);
            }
            header
        })?,
    };
    let payload = payload(&mut healed, &header)?;
    let whole = crc32fast::hash(payload) == header.payload_crc;
    (right(&header) && whole && Entry::read(&header, payload).is_ok()).then_some(healed)
}

fn payload<'a>(frame: &'a mut [u8], header: &Header) -> Option<&'a mut [u8]> {
    frame.get_mut(HEADER_BYTES..HEADER_BYTES.checked_add(header.len as usize)?)
}

/// The bit that changes the checksum of that many bytes by `difference`.
fn wrong_bit(difference: u32, bytes: usize) -> Option<usize> {
    let step = |sum: u32| (0..8).fold(sum, |sum, _| (sum >> 1) ^ (POLYNOMIAL * (sum & 1)));
    // The effect of each bit of the last byte; each byte further ahead takes eight more steps.
    let mut changes: [u32; 8] = std::array::from_fn(|bit| step(1 << bit));
    for byte in (0..bytes).rev() {
        if let Some(bit) = changes.iter().position(|change| *change == difference) {
            return Some(byte * 8 + bit);
        }
        changes = changes.map(step);
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::embedded::format::frame::Kind;
    use crate::embedded::format::record::{Registry, frame};
    use crate::embedded::tools::heal::*;
    use proptest::prelude::*;

    fn bytes(names: usize) -> Vec<u8> {
        let targets = (0u16..).zip((0..names).map(|n| format!("target-{n}"))).collect();
        frame(Kind::Registry, &Registry { targets }, 64).unwrap().place(9, 4_096, 4_096, 1).to_vec()
    }

    proptest! {
        #[test]
        fn any_one_wrong_bit_is_put_right(names in 1usize..200, at: prop::sample::Index) {
            let whole = bytes(names);
            let used = HEADER_BYTES + Header::read(9, &whole).unwrap().len as usize;
            let (mut wrong, bit) = (whole.clone(), at.index(used * 8));
            wrong[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(heal(9, 4_096, &wrong), Some(whole));
        }

        #[test]
        fn more_wrong_bits_than_one_are_left(names in 1usize..50, at: prop::sample::Index, more: prop::sample::Index) {
            let mut wrong = bytes(names);
            let used = HEADER_BYTES + Header::read(9, &wrong).unwrap().len as usize;
            let (one, other) = (at.index(used * 8), more.index(used * 8));
            prop_assume!(one != other);
            for bit in [one, other] {
                wrong[bit / 8] ^= 1 << (bit % 8);
            }
            prop_assert_eq!(heal(9, 4_096, &wrong), None);
        }

        #[test]
        fn any_bytes_are_left_without_a_panic(bytes: Vec<u8>) {
            prop_assert_eq!(heal(9, 4_096, &bytes), None);
        }
    }
}
