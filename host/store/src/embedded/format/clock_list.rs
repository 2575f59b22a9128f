//! When the clock was set, as a segment says it behind its header.

use super::frame::checksum;
use super::segment_header::{HEADER_LEN, SegmentHeader};
use crate::embedded::platform::clock::OneSet;
use crate::embedded::platform::clock_merge::SETS_MAX;
use crate::embedded::platform::clock_trust::from_all;

/// Where the list is: in sectors of its own.
pub(crate) const CLOCKS_AT: usize = 1_536;

const ONE_LEN: usize = 24;

/// Flag of a time. Bit 1 was set by an earlier program.
const UNSURE: u32 = 1;

/// Behind the flags: to within how many minutes it is known what the clock showed before.
const SPREAD_SHIFT: u32 = 2;

/// Bytes of the count and the checksum before the list.
const FRAME_LEN: usize = 8;

const _: () = assert!(CLOCKS_AT + FRAME_LEN + SETS_MAX * ONE_LEN <= HEADER_LEN);

/// Puts the list behind the header of a new segment.
pub(crate) fn put(header: &SegmentHeader, sets: &[OneSet], bytes: &mut [u8]) {
    let newest = &sets[sets.len().saturating_sub(SETS_MAX)..];
    let mut list = Vec::with_capacity(newest.len() * ONE_LEN);
    for set in newest {
        let spread = set.spread_min.min(OneSet::SPREAD_MIN_MAX) << SPREAD_SHIFT;
        let flags = spread | if set.unsure { UNSURE } else { 0 };
        list.extend_from_slice(&set.at_ms.to_le_bytes());
        list.extend_from_slice(&set.ahead_ms.to_le_bytes());
        list.extend_from_slice(&set.rows_to.unwrap_or(header.epoch).to_le_bytes());
        list.extend_from_slice(&flags.to_le_bytes());
    }
    let count = u32::try_from(newest.len()).unwrap_or_default();
    let place = &mut bytes[CLOCKS_AT..];
    place[..4].copy_from_slice(&count.to_le_bytes());
    place[4..FRAME_LEN].copy_from_slice(&sum(header, &list).to_le_bytes());
    place[FRAME_LEN..FRAME_LEN + list.len()].copy_from_slice(&list);
}

/// The list of a segment, whose first bytes these are. Without one, what its header says.
pub(crate) fn read(header: &SegmentHeader, bytes: &[u8]) -> Vec<OneSet> {
    listed(header, bytes)
        .unwrap_or_else(|| from_all(header.clock, header.epoch).into_iter().collect())
}

fn listed(header: &SegmentHeader, bytes: &[u8]) -> Option<Vec<OneSet>> {
    let (count, rest) = bytes.get(CLOCKS_AT..)?.split_first_chunk()?;
    let (said, rest) = rest.split_first_chunk()?;
    let count = usize::try_from(u32::from_le_bytes(*count)).ok().filter(|n| *n <= SETS_MAX)?;
    let list = rest.get(..count * ONE_LEN)?;
    if u32::from_le_bytes(*said) != sum(header, list) {
        return None;
    }
    let one = |bytes: &[u8]| {
        let (at_ms, rest) = bytes.split_first_chunk()?;
        let (ahead_ms, rest) = rest.split_first_chunk()?;
        let (rows_to, rest) = rest.split_first_chunk()?;
        let flags = u32::from_le_bytes(*rest.first_chunk()?);
        Some(OneSet {
            at_ms: u64::from_le_bytes(*at_ms),
            ahead_ms: i64::from_le_bytes(*ahead_ms),
            rows_to: Some(u32::from_le_bytes(*rows_to)),
            unsure: flags & UNSURE > 0,
            spread_min: flags >> SPREAD_SHIFT,
        })
    };
    list.chunks_exact(ONE_LEN).map(one).collect()
}

/// The checksum of a list, which is another one in each segment.
fn sum(header: &SegmentHeader, list: &[u8]) -> u32 {
    checksum(checksum(header.identity.salt(), &header.base.to_le_bytes()), list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::format::segment_header::sample;
    use crate::embedded::platform::clock::ClockSet;
    use proptest::prelude::*;

    fn any_set() -> impl Strategy<Value = OneSet> {
        let fields = (any::<(u64, i64, bool, Option<u32>)>(), 0..=OneSet::SPREAD_MIN_MAX);
        fields.prop_map(|((at_ms, ahead_ms, unsure, rows_to), spread_min)| OneSet {
            at_ms,
            ahead_ms,
            unsure,
            spread_min,
            rows_to,
        })
    }

    proptest! {
        #[test]
        fn a_list_survives_and_one_that_was_changed_is_not_believed(
            sets in prop::collection::vec(any_set(), 0..SETS_MAX + 2), bit in 0usize..64 * 8,
        ) {
            let header = sample(1 << 20, 0);
            let mut bytes = header.to_bytes();
            put(&header, &sets, &mut bytes);
            prop_assert_eq!(SegmentHeader::from_bytes(&bytes), Ok(header));
            let newest = &sets[sets.len().saturating_sub(SETS_MAX)..];
            let said = |set: &OneSet| OneSet { rows_to: set.rows_to.or(Some(header.epoch)), ..*set };
            prop_assert_eq!(read(&header, &bytes), newest.iter().map(said).collect::<Vec<_>>());
            let of = sample(2 << 20, 0);
            prop_assert_eq!(listed(&of, &bytes), None);
            // What is behind the list is not part of it.
            let at = bit % ((FRAME_LEN + newest.len() * ONE_LEN) * 8);
            bytes[CLOCKS_AT + at / 8] ^= 1 << (at % 8);
            prop_assert_eq!(listed(&header, &bytes), None);
        }
    }

    #[test]
    fn a_segment_without_a_list_says_how_far_in_all() {
        let clock = ClockSet { at_ms: 7, ahead_min: -3, unsure: false };
        let header = SegmentHeader { clock, ..sample(1 << 20, 0) };
        let [set] = read(&header, &header.to_bytes())[..] else { panic!() };
        assert_eq!((set.at_ms, set.ahead_ms, set.spread_min), (7, -180_000, 0));
        assert_eq!(read(&sample(0, 0), &[]), []);
    }
}
