//! Runs blocking work off the async threads.

use crate::StoreError;

/// Runs what blocks where it disturbs nobody.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    // Without a runtime there is nobody whom it could disturb.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return work() };
    match runtime.spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(StoreError::Interrupted { reason: error.to_string() }),
    }
}
