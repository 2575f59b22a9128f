//! The servers under load: the floor and the client that only posts, which are this program, and the daemon.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::lab::{Lab, Subject};
use dispatcher::cli::testbed::{DaemonFolder, Server, Status};

/// The secret of every source.
pub(crate) const SECRET: &str = "bench-secret-not-for-production";
/// The program to measure, in the folder of this one.
const DAEMON: &str = "dispatcher";
/// How often a daemon is asked what still waits.
const ASK_EVERY: Duration = Duration::from_millis(2);
/// Longest wait for a daemon to deliver what waits.
const DRAIN_PATIENCE: Duration = Duration::from_secs(1800);

/// What this program is when the bench starts it as a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Role {
    Floor,
    FloorWithoutDisk,
    Client,
}

/// This program as a child that answers requests.
pub(crate) struct Child {
    name: String,
    server: Server,
}

impl Child {
    pub(crate) fn floor(lab: &Lab) -> io::Result<Self> {
        Self::start(lab, "floor", "floor")
    }

    pub(crate) fn floor_without_disk(lab: &Lab) -> io::Result<Self> {
        Self::start(lab, "floor without the disk", "floor-without-disk")
    }

    pub(crate) fn client(lab: &Lab) -> io::Result<Self> {
        Self::start(lab, "bare client", "client")
    }

    fn start(lab: &Lab, name: &str, role: &str) -> io::Result<Self> {
        let folder = lab.folder(role)?;
        let path = folder.to_string_lossy();
        let arguments = ["--serve", role, "--directory", &path].map(str::to_owned);
        let server = start(lab, &std::env::current_exe()?, &arguments, &folder.join("log.txt"))?;
        Ok(Self { name: name.to_owned(), server })
    }
}

/// Starts a server on the servers' cores.
fn start(lab: &Lab, program: &Path, arguments: &[String], log: &Path) -> io::Result<Server> {
    lab.on_servers(|| Server::start(program, arguments, log))
}

impl Subject for Child {
    fn name(&self) -> &str {
        &self.name
    }

    fn process(&self) -> u32 {
        self.server.id()
    }

    fn address(&self) -> SocketAddr {
        self.server.address()
    }
}

/// The daemon with a configuration of its own, in a folder of its own.
pub(crate) struct Daemon {
    name: String,
    folder: DaemonFolder,
    server: Server,
}

/// One source, `sqreen`.
pub(crate) const ONE_SOURCE: &str = "[sources.sqreen]\nsecrets = \"file:secret\"\n";

/// A target that writes `NAME.jsonl` and keeps one rotated file.
pub(crate) fn file_log(name: &str, lines: &str) -> String {
    format!(
        "[targets.{name}]\nplugin = \"file-log\"\nsettings.path = \"{name}.jsonl\"\n\
         settings.rotate.keep = 1\n{lines}"
    )
}

/// A target that posts to `sink`, on this machine.
pub(crate) fn http(name: &str, sink: SocketAddr, concurrency: usize, lines: &str) -> String {
    format!(
        "[targets.{name}]\nplugin = \"http\"\nsettings.url = \"http://{sink}/\"\n\
         allow = [\"127.0.0.0/8\"]\nconcurrency = {concurrency}\n{lines}"
    )
}

impl Daemon {
    /// `lines` are its sources and targets.
    pub(crate) fn start(lab: &Lab, name: &str, lines: &str) -> io::Result<Self> {
        let folder = lab.folder(&name.replace([' ', ','], "-"))?;
        // Enough for every request of the load at once: 64 of 1,000 events are 64 MB.
        let head = "[server]\nlisten = \"127.0.0.1:0\"\nin_flight_max = \"512MiB\"\n\
                    [store]\nfree_low = \"0B\"\nfree_min = \"0B\"\nretention.size = \"1TiB\"\n";
        let folder = DaemonFolder::new(&folder, &format!("{head}{lines}"), SECRET)?;
        let server = Self::run(lab, &folder)?;
        Ok(Self { name: name.to_owned(), folder, server })
    }

    fn run(lab: &Lab, folder: &DaemonFolder) -> io::Result<Server> {
        let mut arguments = folder.arguments();
        arguments.extend(["--log-level", "warn"].map(str::to_owned));
        let program = std::env::current_exe()?.with_file_name(DAEMON);
        start(lab, &program, &arguments, &folder.log())
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.server.kill();
    }

    pub(crate) fn start_again(&mut self, lab: &Lab) -> io::Result<()> {
        self.server = Self::run(lab, &self.folder)?;
        Ok(())
    }

    /// The daemon rebuilds it from its log.
    pub(crate) fn delete_index(&self) -> io::Result<()> {
        std::fs::remove_dir_all(self.folder.path().join("data/index"))
    }

    /// Whether the index is still being rebuilt.
    pub(crate) fn is_rebuilding(&self) -> io::Result<bool> {
        Ok(self.status()?.state.contains("being rebuilt"))
    }

    fn status(&self) -> io::Result<Status> {
        self.folder.status()
    }

    /// Deliveries that wait for a target.
    pub(crate) fn pending(&self, target: &str) -> io::Result<u64> {
        let mut targets = self.status()?.targets.into_iter();
        let found = targets.find(|found| found.name == target);
        found
            .map(|found| found.pending)
            .ok_or_else(|| io::Error::other(format!("the daemon has no target {target}")))
    }

    /// Waits until nothing waits for a target.
    pub(crate) fn drained(&self, target: &str) -> io::Result<()> {
        let began = Instant::now();
        while self.pending(target)? > 0 {
            if began.elapsed() > DRAIN_PATIENCE {
                let name = &self.name;
                return Err(io::Error::other(format!(
                    "{name}: deliveries still wait for {target} after {} s",
                    DRAIN_PATIENCE.as_secs()
                )));
            }
            std::thread::sleep(ASK_EVERY);
        }
        Ok(())
    }
}

impl Subject for Daemon {
    fn name(&self) -> &str {
        &self.name
    }

    fn process(&self) -> u32 {
        self.server.id()
    }

    fn address(&self) -> SocketAddr {
        self.server.address()
    }
}
