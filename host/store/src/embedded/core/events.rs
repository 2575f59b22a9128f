//! Finds one event by its number, in memory or in the log.

use std::sync::Arc;

use dispatcher_model::StoredEvent;

use super::shared::Shared;
use crate::StoreError;

/// The event of that number from memory or from the log; `None` for damage.
pub(crate) fn event(shared: &Shared, number: u64) -> Result<Option<Arc<StoredEvent>>, StoreError> {
    if let Some(event) = shared.tail.event(number) {
        return Ok(Some(event));
    }
    Ok(shared.origin(number)?.map(|origin| Arc::new(origin.event)))
}
