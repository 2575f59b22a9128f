//! Runs blocking work off the async threads.

use crate::StoreError;

/// Runs blocking work off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    // Without a runtime no async threads have to be kept free.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return work() };
    match runtime.spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(StoreError::Interrupted { reason: error.to_string() }),
    }
}
