//! Where everything is measured: cores, threads of the load, the folder, and one measured round.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use crate::cores::Cores;
use crate::load::{self, Extent, MakeRequest, Measured};
use crate::process;

/// Load before the first round, not counted: it opens files and fills caches.
const WARM_UP: Duration = Duration::from_millis(500);

pub(crate) struct Lab {
    home: PathBuf,
    pub(crate) cores: Cores,
    pub(crate) runtime: Runtime,
    pub(crate) rounds: u16,
    /// How long a server is loaded in a round.
    pub(crate) time: Duration,
    numbers: Arc<AtomicU64>,
}

/// One server under load, once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Round {
    pub(crate) load: Measured,
    /// Of the server and its children.
    pub(crate) cpu: Duration,
    /// How much of the load's cores was in use, from 0 to 1.
    pub(crate) busy: f64,
}

impl Round {
    pub(crate) fn cpu_us(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
        let requests = self.load.requests.max(1) as f64;
        self.cpu.as_secs_f64() * 1e6 / requests
    }
}

impl Lab {
    pub(crate) fn new(home: &Path, rounds: u16, time: Duration) -> io::Result<Self> {
        let cores = Cores::split()?;
        Cores::enter(&cores.load)?;
        let runtime =
            Builder::new_multi_thread().worker_threads(cores.load.len()).enable_all().build()?;
        let (home, numbers) = (home.to_owned(), Arc::new(AtomicU64::new(1)));
        Ok(Self { home, cores, runtime, rounds, time, numbers })
    }

    /// An empty folder of that name.
    pub(crate) fn folder(&self, name: &str) -> io::Result<PathBuf> {
        let folder = self.home.join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Processes that `start` starts run on the servers' cores.
    pub(crate) fn on_servers<T>(&self, start: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        Cores::enter(&self.cores.servers)?;
        let started = start();
        Cores::enter(&self.cores.load)?;
        started
    }

    /// Loads a server for the time of a round.
    pub(crate) fn round(
        &self,
        server: &(impl Subject + ?Sized),
        connections: usize,
        make: &Arc<MakeRequest>,
    ) -> io::Result<Round> {
        self.measure(server, connections, Extent { time: self.time, requests: u64::MAX }, make)
    }

    /// Loads a server before the first round.
    pub(crate) fn warm_up(
        &self,
        server: &(impl Subject + ?Sized),
        connections: usize,
        make: &Arc<MakeRequest>,
    ) -> io::Result<()> {
        let extent = Extent { time: self.time.min(WARM_UP), requests: u64::MAX };
        self.measure(server, connections, extent, make).map(drop)
    }

    pub(crate) fn measure(
        &self,
        server: &(impl Subject + ?Sized),
        connections: usize,
        extent: Extent,
        make: &Arc<MakeRequest>,
    ) -> io::Result<Round> {
        let id = server.process();
        let before = (process::cpu_time(id)?, process::own_cpu_time()?, Instant::now());
        let run = load::run(server.address(), connections, extent, &self.numbers, make);
        let load = self.runtime.block_on(run)?;
        let cpu = process::cpu_time(id)?.saturating_sub(before.0);
        let used = process::own_cpu_time()?.saturating_sub(before.1);
        #[expect(clippy::cast_precision_loss, reason = "a count of cores")]
        let cores = self.cores.load.len() as f64;
        let busy = used.as_secs_f64() / before.2.elapsed().as_secs_f64() / cores;
        if load.requests == 0 {
            let name = server.name();
            return Err(io::Error::other(format!(
                "{name} answered no request with 200 ({} failed)",
                load.failed
            )));
        }
        Ok(Round { load, cpu, busy })
    }

    /// Prints how far the part is.
    pub(crate) fn show_progress(&self, part: &str, round: u16) {
        eprintln!("{part}: round {round} of {}", self.rounds);
    }
}

/// A server that can be loaded.
pub(crate) trait Subject {
    fn name(&self) -> &str;
    fn process(&self) -> u32;
    fn address(&self) -> SocketAddr;
}
