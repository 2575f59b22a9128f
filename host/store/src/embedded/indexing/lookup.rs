//! Opens the index that belongs to a log, or an empty one in its place.

use std::path::Path;

use crate::embedded::format::segment_header::SegmentHeader;
use crate::embedded::index::queries::Queries as _;
use crate::embedded::index::rows::{Index, IndexError, IndexHome, LAYOUT, Stamp};
use crate::embedded::log::scanner::{Scanner, Step, Stretch};
use crate::embedded::platform::disk::{Disk, is_full};
use crate::embedded::state::apply::{State, TargetState};

/// An index, its state, and how far it has read the log; no stamp: it is empty.
pub(crate) type IndexAt = (Box<dyn Index>, State, Option<Stamp>);

/// The log that an index has to belong to.
pub(crate) struct Lookup<'a> {
    pub disk: &'a dyn Disk,
    pub home: &'a dyn IndexHome,
    pub folder: &'a Path,
    pub list: &'a [SegmentHeader],
}

impl Lookup<'_> {
    /// Opens the index, or an empty one when it does not belong to this log.
    pub(crate) fn index(&self) -> Result<IndexAt, IndexError> {
        match self.home.open().and_then(|index| self.usable(index)) {
            Ok(Ok(usable)) => return Ok(usable),
            Ok(Err(why)) => tracing::warn!(why, "the index is rebuilt from the log"),
            // It may be whole; a new one would need even more room.
            Err(why) if why.is_full() => return Err(why),
            Err(why) => tracing::warn!(%why, "the index is rebuilt from the log"),
        }
        self.home.remove().map_err(|error| {
            let make = if is_full(&error) { IndexError::Full } else { IndexError::Remove };
            make(error.to_string())
        })?;
        Ok((self.home.open()?, State::default(), None))
    }

    /// The inner `Err` says why the index does not belong to this log.
    pub(crate) fn usable(
        &self,
        index: Box<dyn Index>,
    ) -> Result<Result<IndexAt, &'static str>, IndexError> {
        let Some(stamp) = index.stamp()? else {
            // A new index, or one without a first batch.
            return Ok(Ok((index, State::default(), None)));
        };
        if stamp.layout != LAYOUT {
            return Ok(Err("it has the layout of another version"));
        }
        if !self.has(&stamp) {
            return Ok(Err("it is of another log, or ahead of this one"));
        }
        let targets = index.targets()?.into_iter().map(TargetState::from_row).collect();
        Ok(Ok((index, State { targets }, Some(stamp))))
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
