//! Starts daemons, posts to them, kills them, and reads what reached their targets.

mod client;
mod daemon;
mod installed;
mod power_disk;
mod sender;
mod setup;

use std::time::{Duration, Instant};

pub(crate) use client::{Answer, Client};
pub(crate) use daemon::{Daemon, value};
pub(crate) use installed::{Installed, plugin_file};
pub(crate) use power_disk::PowerDisk;
pub(crate) use sender::{body, event, events, post_all, signature};
pub(crate) use setup::{SECRET, Setup};

/// After this long, what is waited for is taken to never come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until `probe` has an answer.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let asked = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(asked.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
