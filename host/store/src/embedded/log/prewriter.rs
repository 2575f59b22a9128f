//! The next segment, written full of zeros before it is needed.
//!
//! Overwriting is about 1.6 times as fast to sync as appending. The work is done in steps with a pause,
//! past the system's cache, or each step synced: one large sync would delay every group commit. Where
//! an old segment can be used again nothing is written.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::spare::Spare;
use crate::embedded::platform::disk::Disk;
use crate::embedded::platform::locks::lock;
use crate::embedded::platform::prewrite::{PAUSE, prewrite};
use crate::embedded::platform::repeated::Repeated;

/// Pause after the first failure; it doubles with each further one.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// Longest pause after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(60);

pub(crate) struct Prewriter {
    disk: Arc<dyn Disk>,
    spare: Arc<Spare>,
    stop: Arc<AtomicBool>,
    worker: Option<JoinHandle<()>>,
    failed: Arc<Failed>,
    /// Written by the calling thread, without pauses.
    alone: bool,
}

impl Prewriter {
    pub(crate) fn new(disk: Arc<dyn Disk>, spare: Arc<Spare>, alone: bool) -> Self {
        Self { disk, spare, stop: Arc::default(), worker: None, failed: Arc::default(), alone }
    }

    /// Starts, unless a spare exists or is being written. The log works without one.
    pub(crate) fn start(&mut self) {
        if (!self.alone && self.failed.waits()) || !self.spare.begin_new() {
            return;
        }
        let (disk, spare, stop) = (self.disk.clone(), self.spare.clone(), self.stop.clone());
        let failed = self.failed.clone();
        let pause = if self.alone { Duration::ZERO } else { PAUSE };
        let work = move || {
            let made = prewrite(&*disk, &spare.path, spare.capacity, &stop, pause);
            match &made {
                Ok(_) => failed.end(),
                Err(error) => failed.again(&spare.path, error),
            }
            spare.put(made.ok().flatten());
        };
        if self.alone {
            return work();
        }
        self.worker = std::thread::Builder::new().name("store-prewrite".into()).spawn(work).ok();
        if self.worker.is_none() {
            self.spare.put(None);
        }
    }
}

/// Failures one after another. The next try waits, because every group commit asks for one.
#[derive(Default)]
struct Failed(Mutex<Option<Attempts>>);

struct Attempts {
    failures: Repeated,
    next: Instant,
}

impl Failed {
    fn waits(&self) -> bool {
        lock(&self.0).as_ref().is_some_and(|attempts| Instant::now() < attempts.next)
    }

    /// Logs the first failure, and later ones ever more rarely.
    fn again(&self, path: &Path, error: &io::Error) {
        let mut failed = lock(&self.0);
        let mut failures = failed.as_ref().map_or_else(Repeated::default, |last| last.failures);
        let before = u32::try_from(failures.count()).unwrap_or(u32::MAX);
        let line = failures.again();
        let pause = PAUSE_MIN.saturating_mul(2u32.saturating_pow(before)).min(PAUSE_MAX);
        *failed = Some(Attempts { failures, next: Instant::now() + pause });
        if let Some(failures) = line {
            let path = path.display();
            tracing::warn!(%path, %error, failures,
                "cannot write the next segment in advance; the log works without, but slower");
        }
    }

    fn end(&self) {
        *lock(&self.0) = None;
    }
}

impl Drop for Prewriter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(worker) = self.worker.take() {
            // A failure is ignored: the log works without a spare.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_delays_the_next_try_until_one_succeeds() {
        let failed = Failed::default();
        assert!(!failed.waits());
        for _ in 0..100 {
            failed.again(Path::new("/nowhere"), &io::ErrorKind::IsADirectory.into());
            assert!(failed.waits());
        }
        failed.end();
        assert!(!failed.waits());
    }
}
