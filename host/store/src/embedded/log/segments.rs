//! The segments of the log, and which place of the log lies in which file.
//!
//! The log is one long row of bytes; a place in it is an LSN. A segment holds the `capacity` bytes
//! from its `base` on, the first `SEGMENT_HEADER_BYTES` of them its header. The next segment starts
//! at `base + capacity` and says where this one really ends (`prev_end`), so that nothing that an
//! abandoned segment may hold behind that place is ever read.

use std::sync::Arc;

use super::scanner::Stretch;
use super::summary::Summary;
use crate::embedded::format::event_number::lsn_of;
use crate::embedded::format::segment_header::SegmentHeader;

/// One segment.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub header: SegmentHeader,
    /// What it holds; `None` for the newest one.
    pub summary: Option<Arc<Summary>>,
    /// Shared with every reader of its file.
    pub read: Arc<()>,
}

impl Segment {
    pub(crate) fn new(header: SegmentHeader, summary: Option<Summary>) -> Self {
        Self { header, summary: summary.map(Arc::new), read: Arc::default() }
    }
}

/// All segments, oldest first, and where the readable log ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Segments {
    pub list: Vec<Segment>,
    /// End of what is durable.
    pub tail: u64,
}

impl Segments {
    /// Bytes that the log takes, or soon will.
    pub(crate) fn bytes(&self) -> u64 {
        self.list.iter().map(|segment| segment.header.capacity).sum()
    }

    /// What can be read from `lsn` on within one segment; `None` at the end of the log. A place before the
    /// first segment reads from its start, one behind a segment's end from the next.
    pub(crate) fn stretch(&self, lsn: u64) -> Option<Stretch> {
        self.wanted(lsn, |_| true).map(|(stretch, _)| stretch)
    }

    /// The same, passing over closed segments that hold nothing for the target from the number `from`
    /// on. Hold the second part of the answer while reading.
    pub(crate) fn stretch_for(&self, target: u16, from: u64) -> Option<(Stretch, Arc<()>)> {
        self.wanted(lsn_of(from), |summary| summary.may_have(target, from))
    }

    /// What can be read before `lsn` within one segment: of the newest one that has anything there. Hold the second part
    /// of the answer while reading.
    pub(crate) fn before(&self, lsn: u64) -> Option<(Stretch, Arc<()>)> {
        (0..self.list.len()).rev().find_map(|i| {
            let Segment { header: segment, read, .. } = &self.list[i];
            let end = self.list.get(i + 1).map_or(self.tail, |next| next.header.prev_end);
            let (from, to) = (segment.first(), end.min(lsn));
            (from < to).then(|| (Stretch { segment: *segment, from, to }, read.clone()))
        })
    }

    /// The stretch from `lsn` on of the first segment that is wanted.
    pub(crate) fn wanted(
        &self,
        lsn: u64,
        wants: impl Fn(&Summary) -> bool,
    ) -> Option<(Stretch, Arc<()>)> {
        let after = self.list.partition_point(|segment| segment.header.base <= lsn);
        for i in after.saturating_sub(1)..self.list.len() {
            let Segment { header: segment, summary, read } = &self.list[i];
            let to = self.list.get(i + 1).map_or(self.tail, |next| next.header.prev_end);
            let from = lsn.max(segment.first());
            if from < to && summary.as_ref().is_none_or(|summary| wants(summary)) {
                return Some((Stretch { segment: *segment, from, to }, read.clone()));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::format::segment_header::sample;

    #[test]
    fn reading_goes_on_in_the_next_segment_where_one_really_ends() {
        let mib = 1 << 20;
        let list = [sample(0, 0), sample(mib, 9_000)].map(|header| Segment::new(header, None));
        let segments = Segments { list: list.to_vec(), tail: mib + 6_000 };
        let place = |lsn| segments.stretch(lsn).map(|s| (s.segment.base, s.from, s.to));
        assert_eq!(place(0), Some((0, 4_096, 9_000)));
        assert_eq!(place(5_000), Some((0, 5_000, 9_000)));
        assert_eq!(place(9_000), Some((mib, mib + 4_096, mib + 6_000)));
        assert_eq!(place(mib + 6_000), None);
        let before = |lsn| segments.before(lsn).map(|(s, _)| (s.segment.base, s.from, s.to));
        assert_eq!(before(u64::MAX), Some((mib, mib + 4_096, mib + 6_000)));
        assert_eq!(before(mib + 5_000), Some((mib, mib + 4_096, mib + 5_000)));
        assert_eq!(before(mib + 4_096), Some((0, 4_096, 9_000)));
        assert_eq!(before(4_096), None);
    }
}
