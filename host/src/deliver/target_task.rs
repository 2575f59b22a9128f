//! The task of one target, from the end of the task before it to its own end.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

use super::backend::Backend;
use super::target::Target;
use crate::telemetry::LogThrottle;

/// Wait before a task that panicked is restarted.
const PANIC_PAUSE: Duration = Duration::from_secs(1);
/// One line about panics in this time; others are counted.
const PANIC_LINES_WINDOW: Duration = Duration::from_secs(60);

/// The task of one target. Dropping it aborts the task.
pub(super) struct TargetTask {
    backend: Arc<dyn Backend>,
    /// Set once: the moment until which running calls may end.
    stop: watch::Sender<Option<Instant>>,
    resume: Arc<Notify>,
    task: JoinHandle<()>,
}

impl fmt::Debug for TargetTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TargetTask").field("task", &self.task).finish_non_exhaustive()
    }
}

impl TargetTask {
    /// Runs the target that `target` makes, after `before` has ended, which the caller must have stopped.
    pub(super) fn start(
        runtime: &Handle,
        backend: Arc<dyn Backend>,
        target: impl Fn(Arc<Notify>) -> Target + Send + Sync + 'static,
        before: Option<Self>,
    ) -> Self {
        let (stop, stopped) = watch::channel(None);
        let resume = Arc::new(Notify::new());
        let resumed = Arc::clone(&resume);
        let task = runtime.spawn(async move {
            if let Some(mut before) = before {
                before.ended().await;
            }
            keep_running(|| target(Arc::clone(&resumed)), stopped).await;
        });
        Self { backend, stop, resume, task }
    }

    /// What its target calls.
    pub(super) fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// Claims nothing more. Running calls may end until this moment. Only the first call of this has an effect.
    pub(super) fn stop(&self, until: Instant) {
        self.stop.send_if_modified(|stop| {
            let first = stop.is_none();
            stop.get_or_insert(until);
            first
        });
    }

    /// A person resumed the target: it is tried now, whatever is known of it.
    pub(super) fn resume(&self) {
        self.resume.notify_one();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// Waits for the end of the task. Cancel safe. Must not be called again after it has returned.
    pub(super) async fn ended(&mut self) {
        // A panic has been logged, and is an end too.
        let _ = (&mut self.task).await;
    }
}

impl Drop for TargetTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Runs a target, and restarts it after a panic: a bug must not stop the target for good. What it had claimed is
/// delivered again when its lease ends.
async fn keep_running(target: impl Fn() -> Target, stop: watch::Receiver<Option<Instant>>) {
    let mut running = JoinSet::new();
    let lines = LogThrottle::new(1, PANIC_LINES_WINDOW);
    loop {
        running.spawn(target().run(stop.clone()));
        match running.join_next().await {
            Some(Err(error)) if error.is_panic() && stop.borrow().is_none() => {
                if let Some(left_out) = lines.admit(std::time::Instant::now()) {
                    tracing::error!(
                        %error,
                        left_out,
                        "the task of a target panicked and is restarted; please report this bug"
                    );
                }
                sleep(PANIC_PAUSE).await;
            }
            _ => return,
        }
    }
}
