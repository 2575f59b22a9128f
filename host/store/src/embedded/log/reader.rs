//! Reads events from the log: the next ones for a target, one by its number, how many are too old.
//!
//! All of it blocks on the disk. Only what is durable is read.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};

use dispatcher_model::{StoredEvent, Timestamp};

use super::scanner::{CHUNK_BYTES, Scanner, Step, Stretch};
use super::segment_file;
use super::segments::Segments;
use crate::embedded::format::event_number::{lsn_of, number};
use crate::embedded::format::frame::{Header, Kind};
use crate::embedded::format::record::{Lost, request_targets};
use crate::embedded::format::runs::Runs;
pub(crate) use crate::embedded::format::stored_request::Origin;
use crate::embedded::format::stored_request::Read;
use crate::embedded::platform::disk::{Disk, DiskFile};
use crate::embedded::platform::locks::read_lock;

/// Least that is read for a claim, however few it asks for: the next claim usually follows at once.
const CHUNK_BYTES_SMALL: usize = 256 << 10;

pub(crate) struct Reader {
    pub disk: Arc<dyn Disk>,
    pub folder: PathBuf,
    pub segments: RwLock<Segments>,
}

/// A place where nothing can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged {
    pub lsn: u64,
    /// The number to continue from.
    pub to: u64,
    /// Whether a repair has filled it.
    pub repaired: bool,
}

impl Damaged {
    /// Whether the event of that number was there, if there was one.
    pub(crate) fn includes(&self, wanted: u64) -> bool {
        (number(self.lsn, 0)..self.to).contains(&wanted)
    }
}

/// What was found for a target.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub events: Vec<(u64, Arc<StoredEvent>)>,
    /// The number to continue from.
    pub to: u64,
    /// The place at which nothing was found, because it cannot be read.
    pub damaged: Option<Damaged>,
}

/// How many never-tried deliveries in a row were received before a time.
#[derive(Debug, Default)]
pub(crate) struct Old {
    pub count: u64,
    pub first: Option<(u64, Timestamp)>,
    /// The first one received later, or what cannot be read: the number to continue from.
    pub to: u64,
    /// What cannot be read there, if that may be as old.
    pub damaged: Option<Damaged>,
}

/// Numbers and times of receipt of deliveries, ascending.
pub(crate) type Numbers = Vec<(u64, Timestamp)>;

/// What the next frame has for a target.
enum Next<'a> {
    Request(Header, Read<'a>),
    Nothing(Header),
    Damaged { lsn: u64, repaired: bool },
    End,
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

    pub(super) fn open(&self, stretch: &Stretch) -> io::Result<Box<dyn DiskFile>> {
        segment_file::open(&*self.disk, &self.path(stretch))
    }

    /// The next deliveries of a target from the number `from` on: at least one, if there is one, and
    /// about as much as one read of the disk gives.
    pub(crate) fn deliveries(&self, target: u16, from: u64, max: usize) -> io::Result<Found> {
        let mut found = Found { to: from, ..Found::default() };
        let chunk = max.saturating_mul(4_096).clamp(CHUNK_BYTES_SMALL, CHUNK_BYTES);
        while found.events.is_empty() {
            let Some((stretch, _read)) = self.stretch_for(target, found.to) else { break };
            let file = self.open(&stretch)?;
            let mut scanner = Scanner::new(&*file, stretch, chunk);
            let mut bytes = 0;
            while bytes < chunk || found.events.is_empty() {
                let store = stretch.segment.identity.store;
                let (lsn, repaired) = match next(&mut scanner, target)? {
                    Next::Request(header, request) => {
                        bytes += header.len as usize;
                        if take(store, &request, (target, from), &mut found.events).is_some() {
                            found.to = number(header.end(), 0);
                            continue;
                        }
                        (header.lsn, false)
                    }
                    Next::Nothing(header) => {
                        bytes += header.len as usize;
                        found.to = number(header.end(), 0);
                        continue;
                    }
                    Next::Damaged { lsn, repaired } => (lsn, repaired),
                    Next::End => break,
                };
                // With something found, the next read meets the damage again.
                if found.events.is_empty() {
                    let damaged = self.behind(&mut scanner, &stretch, (lsn, repaired))?;
                    (found.to, found.damaged) = (damaged.to, Some(damaged));
                }
                return Ok(found);
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
        let file = self.open(&stretch)?;
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
    /// most `max`; and the places among them that cannot be read.
    pub(crate) fn planned(
        &self,
        target: u16,
        range: std::ops::Range<u64>,
        max: usize,
        spared: &Runs,
    ) -> io::Result<(Numbers, Vec<Damaged>)> {
        let (mut found, mut damaged, mut at) = (Vec::new(), Vec::new(), range.start);
        while let Some((stretch, _read)) = self.stretch_for(target, at).filter(|_| at < range.end) {
            let file = self.open(&stretch)?;
            let mut scanner = Scanner::new(&*file, stretch, CHUNK_BYTES);
            loop {
                let (header, request) = match next(&mut scanner, target)? {
                    Next::Request(header, request) => (header, Some(request)),
                    Next::Nothing(header) => (header, None),
                    Next::Damaged { lsn, .. } if number(lsn, 0) >= range.end => {
                        return Ok((found, damaged));
                    }
                    Next::Damaged { lsn, repaired } => {
                        let place = self.behind(&mut scanner, &stretch, (lsn, repaired))?;
                        at = place.to;
                        damaged.push(place);
                        continue;
                    }
                    Next::End => break,
                };
                if number(header.lsn, 0) >= range.end {
                    return Ok((found, damaged));
                }
                at = number(header.end(), 0);
                let numbers = request.iter().flat_map(|request| {
                    request.numbers(target).map(|(number, _)| (number, request.received_at()))
                });
                for (number, received) in numbers {
                    if range.contains(&number) && !spared.contains(number) {
                        found.push((number, received));
                        if found.len() >= max {
                            return Ok((found, damaged));
                        }
                    }
                }
            }
        }
        Ok((found, damaged))
    }

    /// Counts a target's deliveries from the number `from` on that are not in `done`, up to the first
    /// received at `before` or later, or to what cannot be read. That is as old if it lies before the place
    /// `aged_to`, or if nothing younger is behind it.
    pub(crate) fn old(
        &self,
        target: u16,
        from: u64,
        (before, aged_to): (Timestamp, u64),
        done: &Runs,
    ) -> io::Result<Old> {
        let mut old = Old { to: from, ..Old::default() };
        while let Some((stretch, _read)) = self.stretch_for(target, old.to) {
            let file = self.open(&stretch)?;
            let mut scanner = Scanner::new(&*file, stretch, CHUNK_BYTES);
            loop {
                match next(&mut scanner, target)? {
                    Next::Request(header, request) => {
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
                        old.to = number(header.end(), 0);
                    }
                    Next::Nothing(header) => old.to = number(header.end(), 0),
                    Next::Damaged { lsn, repaired } => {
                        let damaged = self.behind(&mut scanner, &stretch, (lsn, repaired))?;
                        if lsn < aged_to || self.received(target, damaged.to)? < Some(before) {
                            old.damaged = Some(damaged);
                        }
                        return Ok(old);
                    }
                    Next::End => break,
                }
            }
        }
        Ok(old)
    }

    /// When the next readable request for the target was received; `None` without one.
    fn received(&self, target: u16, from: u64) -> io::Result<Option<Timestamp>> {
        let (next, _) = self.planned(target, from..u64::MAX, 1, &Runs::default())?;
        Ok(next.first().map(|(_, received)| *received))
    }

    /// Finds where the log is readable again behind a place that is not. A stretch may begin inside the record of a
    /// repair.
    fn behind(
        &self,
        scanner: &mut Scanner<'_>,
        stretch: &Stretch,
        (lsn, repaired): (u64, bool),
    ) -> io::Result<Damaged> {
        // The scanner is already past a whole frame that cannot be read.
        if scanner.at() == lsn {
            scanner.resync()?;
        }
        let repaired = repaired || (lsn == stretch.from && self.is_repaired(lsn));
        Ok(Damaged { lsn, to: number(scanner.at(), 0), repaired })
    }

    /// The place that cannot be read, or that a repair has filled, if it includes that one.
    pub(crate) fn damaged_at(&self, lsn: u64) -> io::Result<Option<Damaged>> {
        let Some((stretch, _read)) = self.stretch(lsn) else { return Ok(None) };
        let file = self.open(&stretch)?;
        let from = stretch.segment.first();
        let mut scanner = Scanner::new(&*file, Stretch { from, ..stretch }, CHUNK_BYTES);
        while scanner.at() <= lsn {
            let (at, repaired) = match scanner.step()? {
                Step::Frame(header, payload) if is_lost(&header, payload) => (header.lsn, true),
                Step::Frame(header, payload)
                    if header.kind == Kind::Request as u8
                        && Read::new(header.lsn, payload).is_err() =>
                {
                    (header.lsn, false)
                }
                Step::Frame(..) => continue,
                Step::Bad(at) => (at, false),
                Step::End => return Ok(None),
            };
            let damaged = self.behind(&mut scanner, &stretch, (at, repaired))?;
            if damaged.includes(number(lsn, 0)) {
                return Ok(Some(damaged));
            }
        }
        Ok(None)
    }

    /// Whether a repair has filled that place.
    pub(crate) fn is_repaired(&self, lsn: u64) -> bool {
        let Some((stretch, _read)) = self.stretch(lsn) else { return false };
        let Ok(file) = self.open(&stretch) else { return false };
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
pub(super) fn is_lost(header: &Header, payload: &[u8]) -> bool {
    header.kind == Kind::Lost as u8 && !Lost::read(payload).no_requests
}

fn next<'a>(scanner: &'a mut Scanner<'_>, target: u16) -> io::Result<Next<'a>> {
    Ok(match scanner.step()? {
        Step::Frame(header, payload) if is_lost(&header, payload) => {
            Next::Damaged { lsn: header.lsn, repaired: true }
        }
        Step::Frame(header, payload) if header.kind == Kind::Request as u8 => {
            let damaged = Next::Damaged { lsn: header.lsn, repaired: false };
            match request_targets(payload) {
                Ok(targets) if !targets.contains(&target) => Next::Nothing(header),
                Ok(_) => Read::new(header.lsn, payload)
                    .map_or(damaged, |request| Next::Request(header, request)),
                Err(_) => damaged,
            }
        }
        Step::Frame(header, _) => Next::Nothing(header),
        Step::Bad(lsn) => Next::Damaged { lsn, repaired: false },
        Step::End => Next::End,
    })
}

/// Adds a request's events for the target; `None` when one cannot be read.
fn take(
    store: u16,
    request: &Read<'_>,
    (target, from): (u16, u64),
    events: &mut Vec<(u64, Arc<StoredEvent>)>,
) -> Option<()> {
    for (number, place) in request.numbers(target) {
        if number >= from {
            events.push((number, Arc::new(request.event(store, place)?)));
        }
    }
    Some(())
}
