//! Starts daemons, posts to them, kills them, and reads what was delivered to their targets.

mod attack;
mod client;
mod commands;
mod daemon;
mod installed;
mod power_disk;
mod preload;
mod sender;
mod setup;

use std::time::{Duration, Instant};

pub(crate) use attack::Attack;
pub(crate) use client::{Answer, Client};
pub(crate) use commands::{exits, output, post, status, stdout};
pub(crate) use daemon::{Daemon, value};
pub(crate) use installed::{Installed, plugin_file};
pub(crate) use power_disk::PowerDisk;
pub(crate) use preload::preload;
pub(crate) use sender::{body, event, events, post_all, signature};
pub(crate) use setup::{SECRET, Setup};

/// How long a test waits for an effect before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Calls `probe` repeatedly until it returns a value.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
