//! Opens a store: reads the log, the index and the state from disk.
//!
//! The log is read from where the index ends, or from a checkpoint (`begin`). An index that is missing,
//! damaged, of another log or ahead of this one is rebuilt from the first segment. Every segment is synced
//! before it is read: after a crash its newest frames may be only in the kernel's memory, and the index
//! must not know what a power cut could still lose.
//!
//! A place without a frame is the end of the log if nothing proves that it was durable; the log is cut off
//! there. If a later frame, or the next segment, proves that it was durable, it is damage.

use std::path::{Path, PathBuf};
use std::sync::RwLock;

use super::begin::Begun;
use super::rewrite::rewrite;
use super::torn_tail;
use crate::embedded::core::machine::Machine;
use crate::embedded::core::shared::Shared;
use crate::embedded::error::{OpenError, at};
use crate::embedded::format::entry::Entry;
use crate::embedded::format::segment_header::{
    BadHeader, HEADER_LEN, SEGMENT_HEADER_BYTES, SegmentHeader, VERSION, base_of, file_name,
};
use crate::embedded::index::recent::Recent;
use crate::embedded::index::rows::IndexError;
use crate::embedded::index::sweep::sweep;
use crate::embedded::indexing::lookup::Lookup;
use crate::embedded::log::reader::Reader;
use crate::embedded::log::scanner::{CHUNK_BYTES, Scanner, Step};
use crate::embedded::log::segments::{Segment, Segments, Stretch};
use crate::embedded::log::spare::SPARE;
use crate::embedded::log::summary::{self, Summary};
use crate::embedded::log::writer::{Log, create_first};
use crate::embedded::platform::disk::{Disk, DiskFile};
use crate::embedded::platform::lock_file::Lock;
use crate::embedded::settings::Settings;
use crate::embedded::state::apply::{State, TargetState};

pub(crate) struct Opened {
    pub shared: Shared,
    pub log: Log,
    pub state: State,
    pub known: Known,
}

/// What the committer knows besides the state.
pub(crate) struct Known {
    /// Of the newest segment.
    pub summary: Summary,
    pub recent: Recent,
}

pub(crate) fn open(settings: &Settings, machine: &Machine) -> Result<Opened, OpenError> {
    let disk = machine.disk.clone();
    let folder = settings.log_folder();
    disk.make_folder(&folder).map_err(at("make the folder", &folder))?;
    let lock = if machine.alone { None } else { Some(Lock::take(&settings.lock_file())?) };
    let list = segments(machine, &folder, settings.segment_bytes)?;
    let Some(newest) = list.last().copied() else {
        return Err(OpenError::Corrupt { segment: folder, offset: 0, what: "no segment" });
    };
    let (epoch, summary) = (newest.epoch, Summary::default());
    let mut recovery = Recovery { machine, folder: folder.clone(), list, epoch, summary };
    let Begun { index, state, recent, tail } = recovery.begin(settings)?;
    let path = newest.path(&folder);
    let file = disk.open(&path).map_err(at("open", &path))?;
    let list = recovery.closed()?;
    let (epoch, summary) = (recovery.epoch, recovery.summary);
    // When the last record was written, to check the clock.
    let closed = list.iter().filter_map(|segment| Some(segment.summary.as_ref()?.last_ms));
    let last_ms = closed.max().unwrap_or(0).max(summary.last_ms);
    let start = list.first().map_or(0, |segment| segment.header.base);
    let targets = u16::try_from(state.targets.len()).unwrap_or(u16::MAX);
    if let Some(index) = &index {
        sweep(&**index, targets, start).map_err(|e| index_error(&settings.index_folder(), &e))?;
    }
    let segments = RwLock::new(Segments { list, tail });
    let reader = Reader { disk: disk.clone(), folder: folder.clone(), segments };
    let states: &[TargetState] = &state.targets;
    let clock = machine.clock.clone();
    let shared =
        Shared::new((settings, clock, last_ms), newest.identity, reader, index, states, lock);
    let stands_on = (machine.disk.clone(), machine.clock.clone(), machine.alone);
    let aside = (shared.spare.clone(), shared.room.clone());
    let newest = (newest, file);
    let log = Log::new(stands_on, &folder, settings.segment_bytes, newest, (tail, epoch), aside);
    Ok(Opened { shared, log, state, known: Known { summary, recent } })
}

/// The headers of all segments, oldest first; a new store gets its first one.
fn segments(
    machine: &Machine,
    folder: &Path,
    capacity: u64,
) -> Result<Vec<SegmentHeader>, OpenError> {
    let disk = &*machine.disk;
    let mut bases = Vec::new();
    for name in disk.list(folder).map_err(at("read the folder", folder))? {
        if let Some(base) = base_of(&name) {
            bases.push(base);
        } else if name.ends_with(".tmp") && name != SPARE {
            let path = folder.join(&name);
            disk.remove(&path).map_err(at("remove", &path))?;
        }
    }
    // A name given just before the last process ended may be only in the kernel's memory.
    disk.sync_folder(folder).map_err(at("sync", folder))?;
    bases.sort_unstable();
    let mut list: Vec<SegmentHeader> = Vec::new();
    for base in bases {
        let path = folder.join(file_name(base));
        let header = header(disk, &path)?;
        let corrupt = |what| OpenError::Corrupt { segment: path.clone(), offset: 0, what };
        if header.base != base {
            return Err(corrupt("its header is of another segment"));
        }
        if let Some(previous) = list.last() {
            let follows = header.identity == previous.identity && base == previous.limit();
            let inside = (previous.first()..=previous.limit()).contains(&header.prev_end);
            if !follows || !inside || header.epoch < previous.epoch {
                return Err(corrupt("it does not follow the segment before it"));
            }
        }
        list.push(header);
    }
    if list.is_empty() {
        let first = machine.new_identity().and_then(|identity| {
            create_first(disk, folder, (identity, machine.clock.wall_ms()), capacity)
        });
        list.push(first.map_err(at("write to", folder))?);
    }
    Ok(list)
}

fn header(disk: &dyn Disk, path: &Path) -> Result<SegmentHeader, OpenError> {
    let file = disk.open(path).map_err(at("open", path))?;
    let mut bytes = [0u8; HEADER_LEN];
    let read = file.read_at(&mut bytes, 0).map_err(at("read", path))?;
    SegmentHeader::from_bytes(&bytes[..read]).map_err(|bad| match bad {
        BadHeader::Damaged => OpenError::Corrupt {
            segment: path.to_path_buf(),
            offset: 0,
            what: "its header cannot be read",
        },
        BadHeader::Version(found) => {
            OpenError::VersionUnknown { segment: path.to_path_buf(), found, supported: VERSION }
        }
    })
}

pub(crate) struct Recovery<'a> {
    pub machine: &'a Machine,
    pub folder: PathBuf,
    pub list: Vec<SegmentHeader>,
    pub epoch: u32,
    /// Of the newest segment.
    pub summary: Summary,
}

impl Recovery<'_> {
    /// Replays the frames from that place on, ignoring those of an epoch before that one; returns where the
    /// log ends.
    pub(crate) fn replay(
        &mut self,
        (mut lsn, mut epoch): (u64, u32),
        read: &mut dyn FnMut(&Entry) -> Result<(), OpenError>,
    ) -> Result<u64, OpenError> {
        for i in 0..self.list.len() {
            let segment = self.list[i];
            let next = self.list.get(i + 1).copied();
            if next.is_some_and(|next| lsn >= next.prev_end) {
                continue;
            }
            let path = segment.path(&self.folder);
            let file = self.machine.disk.open(&path).map_err(at("open", &path))?;
            if next.is_some() {
                file.sync().map_err(at("sync", &path))?;
            }
            let len = file.len().map_err(at("read", &path))?;
            let to = next.map_or(segment.base + len, |next| next.prev_end);
            let stretch = Stretch { segment, from: lsn.max(segment.first()), to };
            if next.is_none() {
                self.newest(&*file, stretch, epoch).map_err(at("read or write", &path))?;
            }
            let mut scanner = Scanner::new(&*file, stretch, CHUNK_BYTES).since(epoch);
            // A segment gets its name when its checkpoint is durable; the very first has none.
            let durable = if segment.base > 0 { segment.first() + 1 } else { 0 };
            loop {
                let corrupt = |lsn: u64, what| OpenError::Corrupt {
                    segment: path.clone(),
                    offset: lsn - segment.base,
                    what,
                };
                match scanner.step().map_err(at("read", &path))? {
                    Step::Frame(header, payload) => {
                        let entry = Entry::read(&header, payload)
                            .map_err(|_| corrupt(header.lsn, "a record cannot be read"))?;
                        if next.is_none() {
                            self.summary.add(&entry);
                        }
                        read(&entry)?;
                    }
                    Step::Bad(lsn) if next.is_some() || lsn < durable => {
                        return Err(corrupt(lsn, "a frame is missing"));
                    }
                    Step::Bad(lsn) => {
                        let rest = Stretch { from: lsn, ..stretch };
                        let Some(newest) = torn_tail::cut(&*file, &path, rest, scanner.epoch())?
                        else {
                            return Err(corrupt(lsn, "a frame is missing before others"));
                        };
                        epoch = epoch.max(newest);
                        break;
                    }
                    Step::End => break,
                }
            }
            if scanner.at() < durable {
                let what = "the file was cut short";
                return Err(OpenError::Corrupt {
                    segment: path,
                    offset: SEGMENT_HEADER_BYTES,
                    what,
                });
            }
            epoch = epoch.max(scanner.epoch());
            lsn = scanner.at();
        }
        // What an earlier process wrote behind the end never passes for a frame of this one.
        self.epoch = epoch.max(self.epoch) + 1;
        Ok(lsn)
    }
}

impl Recovery<'_> {
    /// Prepares the newest segment before the part that the index lacks is read.
    fn newest(&mut self, file: &dyn DiskFile, rest: Stretch, epoch: u32) -> std::io::Result<()> {
        let read = Stretch { from: rest.segment.first(), to: rest.from, ..rest };
        self.summary = summary::scan(file, read)?;
        rewrite(file, rest, epoch)
    }

    /// The segments, with the summaries of the closed ones.
    fn closed(&self) -> Result<Vec<Segment>, OpenError> {
        let next = self.list.iter().skip(1).map(Some).chain([None]);
        let known = self.list.iter().zip(next).map(|(segment, next)| {
            let Some(next) = next else { return Ok(Segment::new(*segment, None)) };
            let path = segment.path(&self.folder);
            let file = self.machine.disk.open(&path).map_err(at("open", &path))?;
            let closed = Stretch { segment: *segment, from: segment.first(), to: next.prev_end };
            let summary = summary::read(&*file, closed).map_err(at("read", &path))?;
            let summary = match summary {
                Some(summary) => summary,
                None => summary::scan(&*file, closed).map_err(at("read", &path))?,
            };
            Ok(Segment::new(*segment, Some(summary)))
        });
        known.collect()
    }
}

impl Recovery<'_> {
    /// The log that the index is checked against.
    pub(crate) fn lookup(&self) -> Lookup<'_> {
        let Self { machine, folder, list, .. } = self;
        Lookup { disk: &*machine.disk, home: &*machine.index, folder, list }
    }
}

pub(crate) fn index_error(folder: &Path, error: &IndexError) -> OpenError {
    OpenError::Index { path: folder.to_path_buf(), reason: error.to_string() }
}
