//! Runs blocking work off the async threads.

use tokio::sync::Semaphore;

use crate::StoreError;

/// Most such work at once, so that many targets that read the log or the index do not take a thread each.
const WORK_MAX: usize = 16;

static SEATS: Semaphore = Semaphore::const_new(WORK_MAX);

/// Runs blocking work off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    // Without a runtime no async threads have to be kept free.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return work() };
    // It is never closed.
    let seat = SEATS.acquire().await.ok();
    let seated = move || {
        let _seat = seat;
        work()
    };
    match runtime.spawn_blocking(seated).await {
        Ok(done) => done,
        Err(error) => Err(StoreError::Interrupted { reason: error.to_string() }),
    }
}
