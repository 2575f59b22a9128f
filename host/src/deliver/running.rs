//! The task of one target, from its predecessor's end to its own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

use super::backend::Backend;
use super::target::Target;

/// Wait before a target whose task panicked runs again.
const PANIC_PAUSE: Duration = Duration::from_secs(1);

/// A target's task. Dropped, it drops what it was doing.
pub(super) struct Running {
    backend: Arc<dyn Backend>,
    /// Set once: until when running calls may end.
    stop: watch::Sender<Option<Instant>>,
    task: JoinHandle<()>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("task", &self.task).finish_non_exhaustive()
    }
}

impl Running {
    /// Runs what `target` makes, as soon as `before` has ended, which must have been told to stop.
    pub(super) fn start(
        runtime: &Handle,
        backend: Arc<dyn Backend>,
        target: impl Fn() -> Target + Send + Sync + 'static,
        before: Option<Self>,
    ) -> Self {
        let (stop, stopped) = watch::channel(None);
        let task = runtime.spawn(async move {
            if let Some(mut before) = before {
                before.ended().await;
            }
            keep_running(target, stopped).await;
        });
        Self { backend, stop, task }
    }

    /// What its target calls.
    pub(super) fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// Claims no more; running calls may end until that moment. Only the first time counts.
    pub(super) fn stop(&self, until: Instant) {
        self.stop.send_if_modified(|stop| {
            let first = stop.is_none();
            stop.get_or_insert(until);
            first
        });
    }

    pub(super) fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// Waits for its end; cancel safe, but not to be asked again once it answered.
    pub(super) async fn ended(&mut self) {
        // A task that panicked has ended too, and said so.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Runs a target, anew when it panicked: a mistake of ours or of the store's must not end it for good.
/// What it had claimed comes again when its lease ends.
async fn keep_running(target: impl Fn() -> Target, stop: watch::Receiver<Option<Instant>>) {
    let mut running = JoinSet::new();
    loop {
        running.spawn(target().run(stop.clone()));
        match running.join_next().await {
            Some(Err(error)) if error.is_panic() && stop.borrow().is_none() => {
                tracing::error!(%error, "a target's task panicked, which is a mistake of the program");
                sleep(PANIC_PAUSE).await;
            }
            _ => return,
        }
    }
}
