//! Opens the index that belongs to a log, or an empty one in its place.

use std::ops::ControlFlow;
use std::path::Path;

use crate::embedded::format::segment_header::SegmentHeader;
use crate::embedded::index::queries::Queries as _;
use crate::embedded::index::rows::{Batch, Index, IndexError, IndexHome, LAYOUT, Stamp};
use crate::embedded::log::scanner::{Scanner, Step, Stretch};
use crate::embedded::platform::disk::{Disk, is_full};
use crate::embedded::state::apply::{State, TargetState};

/// Most rows of a target that are counted when an index is opened: some milliseconds.
const RETRIES_COUNTED_MAX: u64 = 20_000;

/// An index that belongs to the log.
pub(crate) struct Found {
    pub index: Box<dyn Index>,
    pub state: State,
    /// How far it has read the log; `None`: it is empty.
    pub stamp: Option<Stamp>,
    /// What became of a damaged index that this one replaces.
    pub damaged: Option<String>,
    /// Why another index, which was not damaged, was removed.
    pub other: Option<&'static str>,
}

pub(crate) enum Usable {
    Found(Found),
    /// It does not belong to this log: why.
    Other(&'static str),
}

impl Found {
    /// An index to be made. If that is interrupted, it is continued.
    fn empty(index: Box<dyn Index>, damaged: Option<String>) -> Result<Self, IndexError> {
        index.commit(Batch::mark(true))?;
        Ok(Self { index, state: State::default(), stamp: None, damaged, other: None })
    }
}

/// Takes a damaged index away, so that it is never opened again. Returns what became of it.
pub(crate) fn replace(home: &dyn IndexHome, error: &IndexError) -> Result<String, IndexError> {
    let kept = match home.set_aside() {
        Ok(Some(path)) => format!("the damaged one is kept in {}", path.display()),
        Ok(None) => "the damaged one is gone".to_owned(),
        Err(why) => {
            remove(home)?;
            format!("the damaged one was removed, because it could not be kept ({why})")
        }
    };
    Ok(format!("the index was damaged ({error}) and is made from the log again; {kept}"))
}

fn remove(home: &dyn IndexHome) -> Result<(), IndexError> {
    home.remove().map_err(|error| {
        let make = if is_full(&error) { IndexError::Full } else { IndexError::Remove };
        make(error.to_string())
    })
}

/// The log that an index has to belong to.
pub(crate) struct Lookup<'a> {
    pub disk: &'a dyn Disk,
    pub home: &'a dyn IndexHome,
    pub folder: &'a Path,
    pub list: &'a [SegmentHeader],
}

/// Whether the target has that many rows of retries, as far as they are counted. Each waits for one delivery,
/// so a part of the files that went back in time would lose them.
fn has_retries(index: &dyn Index, target: u16, count: u64) -> Result<bool, IndexError> {
    let (wanted, mut found) = (count.min(RETRIES_COUNTED_MAX), 0);
    if wanted > 0 {
        index.retries(target, 0, &mut |_, _, _| {
            found += 1;
            if found < wanted { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
    }
    Ok(found >= wanted)
}

impl Lookup<'_> {
    /// Opens the index, or an empty one when it does not belong to this log.
    pub(crate) fn index(&self) -> Result<Found, IndexError> {
        self.or_empty(self.home.open().and_then(|index| self.usable(index)))
    }

    /// The index, or an empty one in its place.
    pub(crate) fn or_empty(&self, usable: Result<Usable, IndexError>) -> Result<Found, IndexError> {
        match usable {
            Ok(Usable::Found(found)) => Ok(found),
            Ok(Usable::Other(why)) => {
                remove(self.home)?;
                Ok(Found { other: Some(why), ..Found::empty(self.home.open()?, None)? })
            }
            Err(error) if error.is_damage() => {
                let damaged = replace(self.home, &error)?;
                Found::empty(self.home.open()?, Some(damaged))
            }
            // It may be whole; a new one would need even more room.
            Err(error) => Err(error),
        }
    }

    pub(crate) fn usable(&self, index: Box<dyn Index>) -> Result<Usable, IndexError> {
        let Some(stamp) = index.stamp()? else {
            // A new index, or one without a first batch.
            return Found::empty(index, None).map(Usable::Found);
        };
        if stamp.layout != LAYOUT {
            return Ok(Usable::Other("it has the layout of another version"));
        }
        if !self.has(&stamp) {
            return Ok(Usable::Other("it is of another log, or ahead of this one"));
        }
        let targets: Vec<_> = index.targets()?.into_iter().map(TargetState::from_row).collect();
        let unfinished = index.is_unfinished()?;
        for (number, target) in (0..).zip(&targets) {
            if !unfinished && !has_retries(&*index, number, target.counts.retrying)? {
                return Err(IndexError::Engine(format!("retries of {} are missing", target.name)));
            }
        }
        Ok(Usable::Found(Found {
            index,
            state: State { targets },
            stamp: Some(stamp),
            damaged: None,
            other: None,
        }))
    }

    /// Whether the log has the frame that the index read last.
    fn has(&self, stamp: &Stamp) -> bool {
        let Some(i) = self.list.iter().rposition(|segment| segment.base <= stamp.lsn) else {
            return false;
        };
        let segment = self.list[i];
        if segment.identity.uuid != stamp.uuid || stamp.lsn < segment.first() {
            return false;
        }
        let Ok(file) = self.disk.open(&segment.path(self.folder)) else { return false };
        let to = self.list.get(i + 1).map_or(segment.limit(), |next| next.prev_end);
        let mut scanner = Scanner::new(&*file, Stretch { segment, from: stamp.lsn, to }, 4_096);
        matches!(scanner.step(), Ok(Step::Frame(header, _))
            if header.end() == stamp.end
                && header.epoch == stamp.epoch
                && header.payload_crc == stamp.payload_crc)
    }
}
