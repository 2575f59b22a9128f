//! Opens a store: reads the log, the index and the state from disk.
//!
//! The log is read from where the index ends, or from a checkpoint (`begin`), to its end (`replay`). An
//! index that is missing, damaged, of another log or ahead of this one is rebuilt from the oldest segment.

use std::path::Path;
use std::sync::RwLock;

use super::begin::Begun;
use super::replay::Recovery;
use crate::embedded::core::machine::Machine;
use crate::embedded::core::shared::Shared;
use crate::embedded::error::{OpenError, at};
use crate::embedded::format::clock_list;
use crate::embedded::format::lineage::{Said, strays};
use crate::embedded::format::segment_header::{
    BadHeader, HEADER_LEN, SegmentHeader, VERSION, base_of, file_name,
};
use crate::embedded::index::queries::Queries as _;
use crate::embedded::index::recent::Recent;
use crate::embedded::indexing::lost_rows;
use crate::embedded::log::beginning::{is_marked, mark};
use crate::embedded::log::ending;
use crate::embedded::log::reader::Reader;
use crate::embedded::log::segments::Segments;
use crate::embedded::log::spare::SPARE;
use crate::embedded::log::summary::Summary;
use crate::embedded::log::writer::{Log, create_first};
use crate::embedded::platform::clock::OneSet;
use crate::embedded::platform::disk::{Disk, make_folders};
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
    make_folders(&*disk, &folder).map_err(at("make the folder", &folder))?;
    // A process that made the folder may have ended before it synced its name.
    disk.sync_folder(&settings.directory).map_err(at("sync", &settings.directory))?;
    let lock = if machine.alone { None } else { Some(Lock::take(&settings.lock_file())?) };
    let had_log = match &lock {
        Some(lock) => lock.says_that_there_is_a_log(),
        None => Lock::said_that_there_is_a_log(&settings.lock_file())?,
    };
    let list = segments(machine, &folder, settings.segment_bytes, had_log)?;
    if let Some(Err(error)) = lock.as_ref().map(Lock::say_that_there_is_a_log) {
        tracing::debug!(%error, "cannot say in the lock file that there is a log");
    }
    let Some(newest) = list.last().copied() else {
        return Err(OpenError::Corrupt { segment: folder, offset: 0, what: "no segment" });
    };
    let (epoch, summary) = (newest.epoch, Summary::default());
    let mut recovery = Recovery {
        machine,
        folder: folder.clone(),
        list,
        epoch,
        summary,
        proven: 0,
        rebuilt_for: None,
    };
    let known = clock_of(&*disk, &folder, &newest)?;
    let Begun { index, damaged, lost, state, recent, tail } = recovery.begin(settings, &known)?;
    let path = newest.path(&folder);
    let file = disk.open(&path).map_err(at("open", &path))?;
    // In a log of an earlier program no segment is marked.
    if let Some(oldest) = recovery.list.first() {
        mark(&*disk, &folder, oldest).map_err(at("write to", &oldest.path(&folder)))?;
    }
    // The last process may have ended before it did that.
    if let [.., ended, _] = &recovery.list[..] {
        ending::try_mark(&*disk, &folder, ended, newest.prev_end);
    }
    let list = recovery.closed()?;
    let (epoch, summary) = (recovery.epoch, recovery.summary);
    // The time of the last record, to check the clock against.
    let closed = list.iter().filter_map(|segment| Some(segment.summary.as_ref()?.last_ms));
    let last_ms = closed.max().unwrap_or(0).max(summary.last_ms);
    let last_wall_ms = if summary.wall_ms > 0 { summary.wall_ms } else { newest.created_ms };
    let segments = RwLock::new(Segments { list, tail });
    let reader = Reader { disk: disk.clone(), folder: folder.clone(), segments };
    let states: &[TargetState] = &state.targets;
    let clock = machine.clock.clone();
    let shared = Shared::new(
        (settings, clock),
        (last_ms, last_wall_ms, epoch),
        (newest, &known),
        reader,
        index,
        states,
        lock,
    );
    if let Some(why) = recovery.rebuilt_for {
        tracing::warn!(why, "the index is rebuilt from the log");
    }
    if let Some(damaged) = damaged {
        shared.note_index_damage(damaged);
    }
    lost_rows::give_up(&shared, lost);
    shared.watch_lock(&settings.lock_file());
    shared.watch_index(&*machine.index);
    let stands_on = (machine.disk.clone(), machine.clock.clone(), machine.alone);
    let aside = (shared.spare.clone(), shared.room.clone());
    let newest = (newest, file);
    let log = Log::new(stands_on, &folder, settings.segment_bytes, newest, (tail, epoch), aside);
    Ok(Opened { shared, log, state, known: Known { summary, recent } })
}

/// The headers of all segments, oldest first. A new store gets its first segment.
fn segments(
    machine: &Machine,
    folder: &Path,
    capacity: u64,
    had_log: bool,
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
    // Names that the last process gave may be only in the kernel's memory.
    disk.sync_folder(folder).map_err(at("sync", folder))?;
    bases.sort_unstable();
    let mut found = Vec::with_capacity(bases.len());
    for base in &bases {
        found.push(said(disk, &folder.join(file_name(*base)), *base)?);
    }
    let readable: Vec<_> = found.iter().map(|found| found.as_ref().ok().copied()).collect();
    let index = || machine.index.open().and_then(|index| index.stamp());
    let strays = strays(&readable, || index().ok().flatten().map(|stamp| stamp.uuid));
    let of_this_version = readable.iter().any(Option::is_some);
    let mut list: Vec<SegmentHeader> = Vec::new();
    for ((base, found), stray) in bases.into_iter().zip(found).zip(strays) {
        let path = folder.join(file_name(base));
        let corrupt = |what| OpenError::Corrupt { segment: path.clone(), offset: 0, what };
        let header = match found {
            Ok(said) => said.header,
            Err(Unusable::Version(found)) if !of_this_version => {
                let supported = VERSION;
                return Err(OpenError::VersionUnknown { segment: path, found, supported });
            }
            Err(unusable) => return Err(corrupt(unusable.text())),
        };
        if let Some(stray) = stray {
            return Err(corrupt(stray.text()));
        }
        if let Some(previous) = list.last()
            && base != previous.limit()
        {
            return Err(OpenError::Missing { segment: folder.join(file_name(previous.limit())) });
        }
        list.push(header);
    }
    if let [oldest, ..] = list[..] {
        let segment = oldest.path(folder);
        let marked = is_marked(disk, folder, &oldest).map_err(at("read", &segment))?;
        if !marked && list.last().is_some_and(|newest| newest.flags.beginning_marked) {
            return Err(OpenError::NoBeginning { segment });
        }
    } else {
        if had_log || matches!(index(), Ok(Some(_))) {
            return Err(OpenError::NoLog { folder: folder.to_path_buf() });
        }
        let first = machine.new_identity().and_then(|identity| {
            create_first(disk, folder, (identity, machine.clock.wall_ms()), capacity)
        });
        list.push(first.map_err(at("write to", folder))?);
    }
    Ok(list)
}

/// What a segment says of the clock.
fn clock_of(
    disk: &dyn Disk,
    folder: &Path,
    segment: &SegmentHeader,
) -> Result<Vec<OneSet>, OpenError> {
    let path = segment.path(folder);
    let mut bytes = [0u8; HEADER_LEN];
    let file = disk.open(&path).map_err(at("open", &path))?;
    let read = file.read_at(&mut bytes, 0).map_err(at("read", &path))?;
    Ok(clock_list::read(segment, &bytes[..read]))
}

/// Why a file says nothing of the log.
#[derive(Clone, Copy)]
enum Unusable {
    Damaged,
    Version(u8),
    OtherName,
}

impl Unusable {
    const fn text(self) -> &'static str {
        match self {
            Self::Damaged => "its header cannot be read",
            Self::Version(_) => "its header has another format version than the other segments",
            Self::OtherName => "its header belongs to another segment",
        }
    }
}

/// What the file of that name says.
fn said(disk: &dyn Disk, path: &Path, base: u64) -> Result<Result<Said, Unusable>, OpenError> {
    let file = disk.open(path).map_err(at("open", path))?;
    let mut bytes = [0u8; HEADER_LEN];
    let read = file.read_at(&mut bytes, 0).map_err(at("read", path))?;
    let bytes = &bytes[..read];
    Ok(match SegmentHeader::from_bytes(bytes) {
        Ok(header) if header.base == base => {
            let (begins_log, ended) = (header.begins_log(bytes), header.ended_at(bytes));
            Ok(Said { header, begins_log, ended })
        }
        Ok(_) => Err(Unusable::OtherName),
        Err(BadHeader::Damaged) => Err(Unusable::Damaged),
        Err(BadHeader::Version(found)) => Err(Unusable::Version(found)),
    })
}
