//! Which cores the servers run on and which the load.
//!
//! With four cores or more each gets a half of its own: else the load, which makes and signs as many
//! requests as a server checks, takes the time of the server under test, and a server is measured by
//! how well it competes. With fewer cores all share all.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// From this many cores on they are divided.
const DIVIDED_FROM: usize = 4;

pub(super) struct Cores {
    pub(super) servers: Vec<usize>,
    pub(super) load: Vec<usize>,
}

impl Cores {
    pub(super) fn split() -> io::Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let all: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
        if all.len() < DIVIDED_FROM {
            return Ok(Self { servers: all.clone(), load: all });
        }
        let (servers, load) = all.split_at(all.len() / 2);
        Ok(Self { servers: servers.to_vec(), load: load.to_vec() })
    }

    /// How many there are in all.
    pub(super) fn all(&self) -> usize {
        if self.shared() { self.load.len() } else { self.servers.len() + self.load.len() }
    }

    /// Whether servers and load take each other's time.
    pub(super) fn shared(&self) -> bool {
        self.servers == self.load
    }

    /// Binds this thread, and whatever threads and processes it starts from here on.
    pub(super) fn enter(cores: &[usize]) -> io::Result<()> {
        let mut set = CpuSet::new();
        cores.iter().for_each(|core| set.set(*core));
        Ok(sched_setaffinity(None, &set)?)
    }
}
