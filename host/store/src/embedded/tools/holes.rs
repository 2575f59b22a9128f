//! Files that are missing in a log, and what takes their place: as few bytes as possible, but no place of the log
//! twice, because the number of an event is its place.

use crate::embedded::format::frame::{ALIGN, HEADER_BYTES};
use crate::embedded::format::segment_header::{Flags, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::embedded::tools::segments::Segment;

/// The record that says that something is lost takes so many bytes, if there is room for when it was found.
pub(super) const LOST_BYTES: u64 = HEADER_BYTES as u64 + 2 * ALIGN;

/// A missing file, and the place up to which the record in it reaches.
pub(super) struct Hole {
    pub header: SegmentHeader,
    pub to: u64,
}

/// Flags of a file that takes the place of a missing one.
pub(super) const fn flags(of: SegmentHeader) -> Flags {
    let beginning_marked = of.flags.beginning_marked;
    Flags { full_length: false, prewritten: false, beginning_marked }
}

/// Where the last file before that one may have begun, so that it has room for a record.
const fn base_before(next: SegmentHeader) -> u64 {
    let usual = next.base.saturating_sub(next.capacity);
    let latest = next.prev_end.saturating_sub(SEGMENT_HEADER_BYTES + LOST_BYTES);
    let base = if usual < latest { usual } else { latest };
    base / ALIGN * ALIGN
}

/// The oldest files, when the log does not say that it begins where it does. One stands for all of them.
pub(super) fn beginning(all: &[Segment]) -> Option<Hole> {
    let (oldest, newest) = (all.first()?, all.last()?.header?);
    let header = oldest.header.filter(|_| !oldest.begins_log && newest.flags.beginning_marked)?;
    let base = base_before(header);
    let (capacity, flags) = (header.base - base, flags(header));
    Some(Hole {
        header: SegmentHeader { base, capacity, prev_end: base, flags, ..header },
        to: header.prev_end,
    })
}

/// The files between two of them; the first of the two really ends at `end`. Two stand for any number.
pub(super) fn between(
    previous: SegmentHeader,
    next: SegmentHeader,
    end: u64,
    epoch: u32,
) -> Vec<Hole> {
    let first = SegmentHeader {
        base: previous.limit(),
        capacity: next.base.saturating_sub(previous.limit()),
        prev_end: end,
        epoch: epoch.max(previous.epoch),
        flags: flags(previous),
        ..previous
    };
    let (base, to) = (base_before(next), first.first() + LOST_BYTES);
    if base < first.base + 2 * SEGMENT_HEADER_BYTES {
        return vec![Hole { header: first, to: next.prev_end }];
    }
    let last = SegmentHeader { base, capacity: next.base - base, prev_end: to, ..first };
    let first = SegmentHeader { capacity: base - first.base, ..first };
    vec![Hole { header: first, to }, Hole { header: last, to: next.prev_end }]
}

/// Up to where the log was durable if that segment was not its last.
pub(super) const fn followed(segment: SegmentHeader) -> u64 {
    segment.limit() + SEGMENT_HEADER_BYTES + 1
}

/// The file behind one that really ends at `end`, which was durable up to `proven`; `None` if none is missing.
pub(super) fn behind(last: SegmentHeader, end: u64, epoch: u32, proven: u64) -> Option<Hole> {
    let base = last.limit();
    let prev_end = end.max(last.first());
    let header =
        SegmentHeader { base, prev_end, epoch: epoch.max(last.epoch), flags: flags(last), ..last };
    // The numbers behind the last event that is known were given to others.
    let is_last = proven <= header.limit() + SEGMENT_HEADER_BYTES;
    let to = if is_last { header.limit() } else { header.first() + LOST_BYTES };
    (proven > header.first()).then_some(Hole { header, to })
}
