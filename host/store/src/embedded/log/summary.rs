//! The summary of a segment: which targets have deliveries in it, and how old they are.
//!
//! It is the last record of a segment, in a frame that ends with its own length, so that it is found from
//! the segment's end. A segment that a failing disk closed has none: it is read once instead. In memory
//! a segment takes 24 bytes for each target with deliveries in it, and about 200 more.

use serde::{Deserialize, Serialize};

use super::scanner::{CHUNK_BYTES, Scanner, Step, Stretch};
use crate::embedded::format::entry::{Effects, Entry};
use crate::embedded::format::event_number::number;
use crate::embedded::format::frame::{ALIGN, Frame, HEADER_BYTES, Kind};
use crate::embedded::format::record::decode;
use crate::embedded::platform::disk::DiskFile;

/// Most targets that a summary names; one with more may hold something for any.
const TARGETS_MAX: usize = 2_048;

/// Most bytes of a target in a frame, and of all the rest.
const TARGET_BYTES_MAX: u64 = 31;

const REST_BYTES_MAX: u64 = 160;

#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Ascending.
    pub targets: Vec<TargetSummary>,
    /// It may hold deliveries of any target: too many targets, or damage.
    pub any: bool,
    pub requests: u64,
    pub events: u64,
    /// When the first and the newest request in it were received; zero without one.
    pub oldest_ms: u64,
    pub newest_ms: u64,
    /// When the newest record of any kind in it was made, in the time that the daemon has seen.
    pub last_ms: u64,
    /// When its last record was made, by the wall clock; zero if this was read from the log.
    #[serde(skip)]
    pub wall_ms: u64,
    /// Targets that its other records name, ascending.
    pub named: Vec<u16>,
    /// Its records may name any target: too many, damage, or copies of events.
    pub names_any: bool,
}

/// What was planned for a target.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct TargetSummary {
    pub target: u16,
    pub count: u32,
    pub first: u64,
    pub last: u64,
}

impl Summary {
    pub(crate) fn add(&mut self, entry: &Entry) {
        let at_ms = match &entry.effects {
            Effects::Request { received_ms, events, routed, .. } => {
                self.oldest_ms = if self.requests == 0 {
                    *received_ms
                } else {
                    self.oldest_ms.min(*received_ms)
                };
                self.newest_ms = self.newest_ms.max(*received_ms);
                self.requests += 1;
                self.events += u64::from(*events);
                for r in routed {
                    let (first, last) = (number(entry.lsn, r.first), number(entry.lsn, r.last));
                    self.route(TargetSummary { target: r.target, count: r.count, first, last });
                }
                *received_ms
            }
            Effects::Settlements(record) => {
                // A first attempt was made in the time that the daemon has seen, wherever the clock was set.
                let settled = record.targets.iter().flat_map(|target| &target.others);
                let retries = settled.filter(|s| s.attempts == 1);
                let seen_ms = retries.map(|s| s.first_attempt_ms).max();
                self.last_ms = self.last_ms.max(seen_ms.unwrap_or_default());
                record.at_ms
            }
            Effects::DeadRange(record) => record.at_ms,
            Effects::Act(record) => record.at_ms,
            Effects::Lost(record) => {
                self.any |= !record.no_requests;
                record.at_ms
            }
            Effects::Moved(record) => record.at_ms,
            Effects::Registry(_) | Effects::Checkpoint(_) | Effects::Summary => 0,
        };
        self.last_ms = self.last_ms.max(at_ms);
        if at_ms > 0 {
            self.wall_ms = at_ms;
        }
        match &entry.effects {
            Effects::Settlements(_) | Effects::DeadRange(_) | Effects::Act(_) => {
                entry.effects.targets().into_iter().for_each(|target| self.name(target));
            }
            Effects::Moved(_) | Effects::Lost(_) => self.names_any = true,
            Effects::Request { .. }
            | Effects::Registry(_)
            | Effects::Checkpoint(_)
            | Effects::Summary => {}
        }
    }

    fn name(&mut self, target: u16) {
        match self.named.binary_search(&target) {
            Ok(_) => {}
            Err(_) if self.named.len() >= TARGETS_MAX => self.names_any = true,
            Err(i) => self.named.insert(i, target),
        }
    }

    /// Whether anything in the segment may concern the target.
    pub(crate) fn may_name(&self, target: u16) -> bool {
        self.names_any || self.named.binary_search(&target).is_ok() || self.may_have(target, 0)
    }

    fn route(&mut self, new: TargetSummary) {
        match self.targets.binary_search_by_key(&new.target, |t| t.target) {
            Ok(i) => {
                let known = &mut self.targets[i];
                known.count = known.count.saturating_add(new.count);
                known.last = new.last;
            }
            Err(_) if self.targets.len() >= TARGETS_MAX => self.any = true,
            Err(i) => self.targets.insert(i, new),
        }
    }

    /// Whether it may hold a delivery of the target with that number or a later one.
    pub(crate) fn may_have(&self, target: u16, from: u64) -> bool {
        self.any
            || self
                .targets
                .binary_search_by_key(&target, |t| t.target)
                .is_ok_and(|i| self.targets[i].last >= from)
    }

    /// Most bytes of its frame with so many targets.
    pub(crate) fn frame_bytes_max(targets: usize) -> u64 {
        let targets = u64::try_from(targets.min(TARGETS_MAX)).unwrap_or(u64::MAX);
        targets * TARGET_BYTES_MAX + REST_BYTES_MAX
    }

    /// `None` when it cannot be encoded; the segment then has no summary.
    pub(crate) fn frame(&self) -> Option<Frame> {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes = postcard::to_extend(self, bytes).ok()?;
        let whole = (bytes.len() + 8).next_multiple_of(usize::try_from(ALIGN).ok()?);
        bytes.resize(whole - 8, 0);
        bytes.extend_from_slice(&u64::try_from(whole).ok()?.to_le_bytes());
        Frame::seal(Kind::Summary, bytes)
    }
}

/// The summary that ends a closed segment; `None` when it has none. `closed` is all of it.
pub(crate) fn read(file: &dyn DiskFile, closed: Stretch) -> std::io::Result<Option<Summary>> {
    let Some(place) = closed.to.checked_sub(8).filter(|place| *place >= closed.from) else {
        return Ok(None);
    };
    let mut last = [0; 8];
    let read = file.read_at(&mut last, place - closed.segment.base)?;
    let bytes = u64::from_le_bytes(last);
    let bytes_max = Summary::frame_bytes_max(TARGETS_MAX);
    if read < last.len() || bytes % ALIGN != 0 || bytes > bytes_max.min(closed.to - closed.from) {
        return Ok(None);
    }
    let stretch = Stretch { from: closed.to - bytes, ..closed };
    let chunk_bytes = usize::try_from(bytes).unwrap_or(CHUNK_BYTES);
    Ok(match Scanner::new(file, stretch, chunk_bytes).step()? {
        Step::Frame(header, payload)
            if header.kind == Kind::Summary as u8 && header.end() == closed.to =>
        {
            decode(payload).ok()
        }
        _ => None,
    })
}

/// Summarizes a stretch by reading it. Damage may have held anything.
pub(crate) fn scan(file: &dyn DiskFile, stretch: Stretch) -> std::io::Result<Summary> {
    let mut summary = Summary::default();
    let mut scanner = Scanner::new(file, stretch, CHUNK_BYTES);
    loop {
        let bad = match scanner.step()? {
            Step::Frame(header, payload) => match Entry::read(&header, payload) {
                Ok(entry) => {
                    summary.add(&entry);
                    continue;
                }
                Err(_) => None,
            },
            Step::Bad(lsn) => Some(lsn),
            Step::End => return Ok(summary),
        };
        summary.any = true;
        summary.names_any = true;
        if bad == Some(scanner.at()) {
            scanner.resync()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::format::entry::Routed;

    fn entry(lsn: u64, received_ms: u64, targets: &[u16]) -> Entry {
        let routed = targets.iter().map(|t| Routed { target: *t, count: 2, first: 1, last: 3 });
        let routed = routed.collect();
        Entry {
            lsn,
            end: lsn + 8,
            epoch: 1,
            payload_crc: 0,
            effects: Effects::Request { received_ms, keys: Vec::new(), routed, events: 4 },
        }
    }

    #[test]
    fn tells_what_a_target_may_find_and_when_it_came() {
        let mut summary = Summary::default();
        summary.add(&entry(80, 50, &[2, 7]));
        summary.add(&entry(160, 40, &[7]));
        let of_7 =
            TargetSummary { target: 7, count: 4, first: number(80, 1), last: number(160, 3) };
        assert_eq!(summary.targets[1], of_7);
        assert_eq!((summary.requests, summary.events), (2, 8));
        assert_eq!((summary.oldest_ms, summary.newest_ms, summary.last_ms), (40, 50, 50));
        for (target, from, may) in [
            (7, number(160, 3), true),
            (7, number(160, 4), false),
            (2, 0, true),
            (2, number(80, 4), false),
            (3, 0, false),
        ] {
            assert_eq!(summary.may_have(target, from), may, "{target} {from}");
        }
    }

    #[test]
    fn a_frame_never_takes_more_than_was_reserved_and_tells_its_length_at_its_end() {
        for targets in [0, 1, 7, TARGETS_MAX, TARGETS_MAX + 9] {
            let mut summary = Summary {
                requests: u64::MAX,
                events: u64::MAX,
                oldest_ms: u64::MAX,
                newest_ms: u64::MAX,
                last_ms: u64::MAX,
                ..Summary::default()
            };
            for target in 0..targets {
                let target = u16::try_from(target).unwrap();
                let (first, last) = (u64::MAX >> 1, u64::MAX >> 1);
                summary.route(TargetSummary { target, count: u32::MAX, first, last });
                summary.name(target);
            }
            assert_eq!(summary.any, targets > TARGETS_MAX);
            assert_eq!(summary.names_any, targets > TARGETS_MAX);
            let mut frame = summary.frame().unwrap();
            assert!(frame.size() <= Summary::frame_bytes_max(targets), "{targets}");
            let size = frame.size();
            let bytes = frame.place(0, 0, 0, 0);
            assert_eq!(bytes[bytes.len() - 8..], size.to_le_bytes());
            assert_eq!(decode::<Summary>(&bytes[HEADER_BYTES..]).unwrap(), summary);
        }
    }
}
