//! Finds one event by its number, in memory or in the log.

use std::io;
use std::sync::Arc;

use dispatcher_model::StoredEvent;

use super::shared::Shared;
use crate::StoreError;
use crate::embedded::format::event_number::lsn_of;
use crate::embedded::format::stored_request::Origin;
use crate::embedded::index::rows::{Index, IndexError, place};
use crate::embedded::log::segment_file::is_of_process;

/// Reads the event of that number from memory or the log; `None` when it is damaged.
pub(crate) fn event(shared: &Shared, number: u64) -> Result<Option<Arc<StoredEvent>>, StoreError> {
    if let Some(event) = shared.tail.event(number) {
        return Ok(Some(event));
    }
    Ok(shared.origin(number)?.map(|origin| Arc::new(origin.event)))
}

/// An event is looked up again this often while it is relocated.
const TRIES_MAX: usize = 4;

/// Why the log cannot be read: its files, or what the process may use.
pub(crate) fn log_error(shared: &Shared, error: &io::Error) -> StoreError {
    let folder = shared.reader.folder.clone();
    let read = StoreError::ReadLog { folder, reason: error.to_string() };
    if is_of_process(error) { StoreError::Disk { reason: read.to_string() } } else { read }
}

impl Shared {
    /// Reads the event of that number, from its first place or from where it was moved to.
    pub(crate) fn origin(&self, number: u64) -> Result<Option<Origin>, StoreError> {
        self.find(number, || self.with_index(|index| place(index, number)))
    }

    /// The same, for a caller that has locked the index.
    pub(crate) fn origin_with(
        &self,
        index: &dyn Index,
        number: u64,
    ) -> Result<Option<Origin>, StoreError> {
        self.find(number, || Ok(place(index, number)?))
    }

    fn find(
        &self,
        number: u64,
        place: impl Fn() -> Result<Option<u64>, StoreError>,
    ) -> Result<Option<Origin>, StoreError> {
        for _ in 0..TRIES_MAX {
            let start = self.reader.start();
            let at = if lsn_of(number) >= start { Some(lsn_of(number)) } else { place()? };
            let Some(at) = at else { return Ok(None) };
            let found = self.reader.origin(number, at).map_err(|error| log_error(self, &error))?;
            // Its segment may have been removed in the meantime.
            if found.is_some() || self.reader.start() == start {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Whether retention removed the event of that number.
    pub(crate) fn is_gone(&self, index: &dyn Index, number: u64) -> Result<bool, IndexError> {
        Ok(lsn_of(number) < self.reader.start() && place(index, number)?.is_none())
    }
}
