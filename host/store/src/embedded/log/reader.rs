//! Reads events from the log: the next ones for a target, one by its number, how many are too old.
//!
//! All of it blocks on the disk. Only what is durable is read.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};

use dispatcher_model::{StoredEvent, Timestamp};

use super::scanner::{CHUNK_BYTES, Scanner, Step, Stretch};
use super::segments::Segments;
use crate::embedded::format::event_number::{lsn_of, number};
use crate::embedded::format::frame::{Header, Kind};
use crate::embedded::format::record::{Lost, request_targets};
use crate::embedded::format::runs::Runs;
pub(crate) use crate::embedded::format::stored_request::Origin;
use crate::embedded::format::stored_request::Read;
use crate::embedded::platform::disk::Disk;
use crate::embedded::platform::locks::read_lock;

/// Least that is read for a claim, however few it asks for: the next claim usually follows at once.
const CHUNK_BYTES_SMALL: usize = 256 << 10;

pub(crate) struct Reader {
    pub disk: Arc<dyn Disk>,
    pub folder: PathBuf,
    pub segments: RwLock<Segments>,
}

/// What was found for a target.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub events: Vec<(u64, Arc<StoredEvent>)>,
    /// The number to continue from.
    pub to: u64,
    /// The place from which nothing can be read up to `to`, if there is one.
    pub damaged_from: Option<u64>,
    /// Whether a repair has filled that place.
    pub repaired: bool,
}

/// How many never-tried deliveries in a row were received before a time.
#[derive(Debug, Default)]
pub(crate) struct Old {
    pub count: u64,
    pub first: Option<(u64, Timestamp)>,
    /// The first one received later: the number to continue from.
    pub to: u64,
}

impl Reader {
    /// The file is not recycled while the second part of the answer is held.
    fn stretch(&self, lsn: u64) -> Option<(Stretch, Arc<()>)> {
        read_lock(&self.segments).wanted(lsn, |_| true)
    }

    fn stretch_for(&self, target: u16, from: u64) -> Option<(Stretch, Arc<()>)> {
        read_lock(&self.segments).stretch_for(target, from)
    }

    pub(crate) fn path(&self, stretch: &Stretch) -> PathBuf {
        stretch.segment.path(&self.folder)
    }

    /// The next deliveries of a target from the number `from` on: at least one, if there is one, and
    /// about as much as one read of the disk gives.
    pub(crate) fn deliveries(&self, target: u16, from: u64, max: usize) -> io::Result<Found> {
        let mut found = Found { to: from, ..Found::default() };
        let chunk = max.saturating_mul(4_096).clamp(CHUNK_BYTES_SMALL, CHUNK_BYTES);
        while found.events.is_empty() {
            let Some((stretch, _read)) = self.stretch_for(target, found.to) else { break };
            let file = self.disk.open(&self.path(&stretch))?;
            let mut scanner = Scanner::new(&*file, stretch, chunk);
            let mut bytes = 0;
            while bytes < chunk || found.events.is_empty() {
                let (lsn, end) = match scanner.step()? {
                    Step::Frame(header, payload) if is_lost(&header, payload) => {
                        found.repaired = true;
                        (header.lsn, None)
                    }
                    Step::Frame(header, payload) => {
                        bytes += payload.len();
                        let events = &mut found.events;
                        let store = stretch.segment.identity.store;
                        let read = header.kind != Kind::Request as u8
                            || take(store, header.lsn, payload, (target, from), events).is_some();
                        (header.lsn, read.then(|| header.end()))
                    }
                    Step::Bad(lsn) => {
                        found.repaired = lsn == stretch.from && self.is_repaired(lsn);
                        (lsn, None)
                    }
                    Step::End => break,
                };
                match end {
                    Some(end) => found.to = number(end, 0),
                    None if found.events.is_empty() => return damage(scanner, lsn, found),
                    // Returns what was found; the next read meets the damage again.
                    None => return Ok(found),
                }
            }
        }
        Ok(found)
    }

    /// Where the log begins.
    pub(crate) fn start(&self) -> u64 {
        read_lock(&self.segments).list.first().map_or(0, |segment| segment.header.base)
    }

    /// The event of that number in the frame at `lsn`, with its request's details; `None` when it is
    /// missing or damaged.
    pub(crate) fn origin(&self, wanted: u64, lsn: u64) -> io::Result<Option<Origin>> {
        let at = self.stretch(lsn).filter(|(stretch, _)| stretch.from == lsn);
        let Some((stretch, _read)) = at else {
            return Ok(None);
        };
        let file = self.disk.open(&self.path(&stretch))?;
        let mut scanner = Scanner::new(&*file, stretch, 4_096);
        let Step::Frame(header, payload) = scanner.step()? else { return Ok(None) };
        let store = stretch.segment.identity.store;
        Ok(match Kind::from_byte(header.kind) {
            Some(Kind::Request) if lsn == lsn_of(wanted) => {
                let place = u16::try_from(wanted - number(lsn, 0)).ok();
                let request = Read::new(header.lsn, payload).ok();
                request.zip(place).and_then(|(request, place)| request.origin(store, place))
            }
            Some(Kind::Moved) => Read::moved(wanted, store, payload),
            _ => None,
        })
    }

    /// Numbers of the events in that range that were planned for the target and are not in `spared`, at
    /// most `max`. What cannot be read is left out.
    pub(crate) fn planned(
        &self,
        target: u16,
        range: std::ops::Range<u64>,
        max: usize,
        spared: &Runs,
    ) -> io::Result<Vec<(u64, Timestamp)>> {
        let (mut found, mut at) = (Vec::new(), range.start);
        while let Some((stretch, _read)) = self.stretch_for(target, at).filter(|_| at < range.end) {
            let file = self.disk.open(&self.path(&stretch))?;
            let mut scanner = Scanner::new(&*file, stretch, CHUNK_BYTES);
            loop {
                let (header, payload) = match scanner.step()? {
                    Step::Frame(header, payload) => (header, payload),
                    Step::Bad(lsn) => {
                        if scanner.at() == lsn {
                            scanner.resync()?;
                        }
                        at = number(scanner.at(), 0);
                        continue;
                    }
                    Step::End => break,
                };
                if number(header.lsn, 0) >= range.end {
                    return Ok(found);
                }
                at = number(header.end(), 0);
                let ours = header.kind == Kind::Request as u8
                    && request_targets(payload).is_ok_and(|list| list.contains(&target));
                let Some(Ok(request)) = ours.then(|| Read::new(header.lsn, payload)) else {
                    continue;
                };
                for (number, _) in request.numbers(target) {
                    if range.contains(&number) && !spared.contains(number) {
                        found.push((number, request.received_at()));
                        if found.len() >= max {
                            return Ok(found);
                        }
                    }
                }
            }
        }
        Ok(found)
    }

    /// Counts a target's deliveries from the number `from` on that are not in `done`, up to the first
    /// received at `before` or later.
    pub(crate) fn old(
        &self,
        target: u16,
        from: u64,
        before: Timestamp,
        done: &Runs,
    ) -> io::Result<Old> {
        let mut old = Old { to: from, ..Old::default() };
        while let Some((stretch, _read)) = self.stretch_for(target, old.to) {
            let file = self.disk.open(&self.path(&stretch))?;
            let mut scanner = Scanner::new(&*file, stretch, CHUNK_BYTES);
            loop {
                match scanner.step()? {
                    Step::Frame(header, payload) if is_lost(&header, payload) => return Ok(old),
                    Step::Frame(header, payload) => {
                        let end = number(header.end(), 0);
                        let request = (header.kind == Kind::Request as u8
                            && request_targets(payload).is_ok_and(|list| list.contains(&target)))
                        .then(|| Read::new(header.lsn, payload));
                        if let Some(Ok(request)) = request {
                            if request.received_at() >= before {
                                old.to = old.to.max(number(header.lsn, 0));
                                return Ok(old);
                            }
                            for (number, _) in request.numbers(target) {
                                if number >= from && !done.contains(number) {
                                    old.count += 1;
                                    old.first.get_or_insert((number, request.received_at()));
                                }
                            }
                        }
                        old.to = end;
                    }
                    // A claim finds and reports the damage.
                    Step::Bad(_) => return Ok(old),
                    Step::End => break,
                }
            }
        }
        Ok(old)
    }

    /// Whether a repair has filled that place.
    pub(crate) fn is_repaired(&self, lsn: u64) -> bool {
        let Some((stretch, _read)) = self.stretch(lsn) else { return false };
        let Ok(file) = self.disk.open(&self.path(&stretch)) else { return false };
        // The record may begin before it: what a target had read of the place is filled as well.
        let from = stretch.segment.first();
        let mut scanner = Scanner::new(&*file, Stretch { from, ..stretch }, CHUNK_BYTES);
        while let Ok(Step::Frame(header, _)) = scanner.step() {
            if header.end() > lsn {
                return header.kind == Kind::Lost as u8;
            }
        }
        false
    }
}

/// Whether a repair says that requests may have lain there.
fn is_lost(header: &Header, payload: &[u8]) -> bool {
    header.kind == Kind::Lost as u8 && !Lost::read(payload).no_requests
}

/// Finds where the log is readable again.
fn damage(mut scanner: Scanner<'_>, lsn: u64, mut found: Found) -> io::Result<Found> {
    // The scanner is already past a whole frame that cannot be read.
    if scanner.at() == lsn {
        scanner.resync()?;
    }
    found.damaged_from = Some(lsn);
    found.to = number(scanner.at(), 0);
    Ok(found)
}

/// Adds a request's events for the target; `None` when the record cannot be read.
fn take(
    store: u16,
    lsn: u64,
    payload: &[u8],
    (target, from): (u16, u64),
    events: &mut Vec<(u64, Arc<StoredEvent>)>,
) -> Option<()> {
    if !request_targets(payload).ok()?.contains(&target) {
        return Some(());
    }
    let request = Read::new(lsn, payload).ok()?;
    for (number, place) in request.numbers(target) {
        if number >= from {
            events.push((number, Arc::new(request.event(store, place)?)));
        }
    }
    Some(())
}
