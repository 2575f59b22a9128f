//! How the store asks its index. Without one, or after an error of it, callers go on as they do during any
//! rebuild: an error of the index never refuses a request.

use super::shared::Shared;
use crate::StoreError;
use crate::embedded::index::rows::{Index, IndexError};

impl From<IndexError> for StoreError {
    fn from(error: IndexError) -> Self {
        Self::ReadIndex { reason: error.to_string() }
    }
}

impl Shared {
    /// Asks the index. `None`: it is being rebuilt. After an error it is, too.
    pub(crate) fn try_index<T>(
        &self,
        ask: impl FnOnce(&dyn Index) -> Result<T, IndexError>,
    ) -> Option<Result<T, IndexError>> {
        self.index.ask(&self.rebuild, ask)
    }

    /// Asks the index; an error while it is rebuilt.
    pub(crate) fn with_index<T>(
        &self,
        ask: impl FnOnce(&dyn Index) -> Result<T, IndexError>,
    ) -> Result<T, StoreError> {
        self.try_index(ask).and_then(Result::ok).ok_or_else(|| self.no_index())
    }

    /// The same, for what reads the log as well. An error of the log is not one of the index.
    pub(crate) fn with_index_and_log<T>(
        &self,
        ask: impl FnOnce(&dyn Index) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.with_index(|index| match ask(index) {
            Err(StoreError::ReadIndex { reason }) => Err(IndexError::Engine(reason)),
            answer => Ok(answer),
        })?
    }
}
