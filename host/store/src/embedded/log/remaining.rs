//! Counts what is left for a target in the log, so that what is lost in a place that cannot be read can be counted, too.

use std::io;

use super::reader::{Reader, is_lost};
use super::scanner::{CHUNK_BYTES, Scanner, Step, Stretch};
use super::segments::Segment;
use crate::embedded::format::event_number::number;
use crate::embedded::format::frame::Kind;
use crate::embedded::format::record::request_targets;
use crate::embedded::format::runs::Runs;
use crate::embedded::format::stored_request::Read;
use crate::embedded::platform::locks::read_lock;

impl Reader {
    /// How many events from the number `from` on, up to the number `last`, were planned for the target and are not in
    /// `done`; `None` if a place cannot be read. Only the segments at both ends, and those in which something is done, are
    /// read.
    pub(crate) fn remaining(
        &self,
        target: u16,
        (from, last): (u64, u64),
        done: &Runs,
    ) -> io::Result<Option<u64>> {
        let segments = read_lock(&self.segments).clone();
        let mut count = 0;
        for (place, segment) in segments.list.iter().enumerate() {
            let header = segment.header;
            let to =
                segments.list.get(place + 1).map_or(segments.tail, |next| next.header.prev_end);
            let (first, end) = (number(header.first(), 0), number(to, 0));
            if end <= from || first > last {
                continue;
            }
            let is_plain = from <= first && last >= end && done.within(first, end).len() == 0;
            count += match summed(segment, target).filter(|_| is_plain) {
                Some(known) => known,
                None => {
                    let stretch = Stretch { segment: header, from: header.first(), to };
                    match self.read_count(target, stretch, (from, last), done)? {
                        Some(read) => read,
                        None => return Ok(None),
                    }
                }
            };
        }
        Ok(Some(count))
    }

    fn read_count(
        &self,
        target: u16,
        stretch: Stretch,
        (from, last): (u64, u64),
        done: &Runs,
    ) -> io::Result<Option<u64>> {
        let file = self.open(&stretch)?;
        let (mut scanner, mut count) = (Scanner::new(&*file, stretch, CHUNK_BYTES), 0);
        loop {
            let (header, payload) = match scanner.step()? {
                Step::Frame(header, payload) => (header, payload),
                Step::Bad(lsn) => {
                    if scanner.at() == lsn {
                        scanner.resync()?;
                    }
                    if number(scanner.at(), 0) > from {
                        return Ok(None);
                    }
                    continue;
                }
                Step::End => return Ok(Some(count)),
            };
            let is_behind = number(header.end(), 0) > from;
            if is_behind && is_lost(&header, payload) {
                return Ok(None);
            }
            let ours = header.kind == Kind::Request as u8
                && request_targets(payload).is_ok_and(|list| list.contains(&target));
            let request = match ours.then(|| Read::new(header.lsn, payload)) {
                Some(Ok(request)) => request,
                Some(Err(_)) if is_behind => return Ok(None),
                _ => continue,
            };
            let left = request.numbers(target).map(|(number, _)| number);
            let left = left.filter(|n| (from..=last).contains(n) && !done.contains(*n));
            count += left.count() as u64;
        }
    }
}

/// What the summary of a segment says; `None` if that is not certain.
fn summed(segment: &Segment, target: u16) -> Option<u64> {
    let summary = segment.summary.as_ref().filter(|summary| !summary.any)?;
    let found = summary.targets.iter().find(|known| known.target == target);
    Some(found.map_or(0, |known| known.count.into()))
}
