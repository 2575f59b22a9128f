//! Which cores the servers run on and which the load.
//!
//! With four cores or more, each has one half. Otherwise the load, which makes and signs as many requests as
//! a server checks, would take time from the server under test. With fewer cores, both share all.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The fewest cores that are divided.
const DIVIDED_FROM: usize = 4;

pub(crate) struct Cores {
    pub(crate) servers: Vec<usize>,
    pub(crate) load: Vec<usize>,
}

impl Cores {
    pub(crate) fn split() -> io::Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let all: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
        if all.len() < DIVIDED_FROM {
            return Ok(Self { servers: all.clone(), load: all });
        }
        let (servers, load) = all.split_at(all.len() / 2);
        Ok(Self { servers: servers.to_vec(), load: load.to_vec() })
    }

    /// How many there are in all.
    pub(crate) fn all(&self) -> usize {
        if self.shared() { self.load.len() } else { self.servers.len() + self.load.len() }
    }

    /// Whether servers and load take each other's time.
    pub(crate) fn shared(&self) -> bool {
        self.servers == self.load
    }

    /// Binds this thread, and the threads and processes that it starts from now on.
    pub(crate) fn enter(cores: &[usize]) -> io::Result<()> {
        let mut set = CpuSet::new();
        cores.iter().for_each(|core| set.set(*core));
        Ok(sched_setaffinity(None, &set)?)
    }
}
