//! The servers under load that are this program: the floor, the client that only posts, the daemon.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::SECRET;
use super::lab::{Lab, Subject};
use crate::admin::wire::Status;
use crate::cli::ask;
use crate::cli::child::Server;

/// How often a daemon is asked what still waits.
const ASK_EVERY: Duration = Duration::from_millis(2);
/// Longest wait for a daemon to deliver what waits.
const DRAIN_PATIENCE: Duration = Duration::from_secs(1800);

/// The bench itself in another role, in the foreground of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Role {
    Floor,
    FloorWithoutDisk,
    Client,
}

/// A child of this program that answers requests.
pub(super) struct Child {
    name: String,
    server: Server,
}

impl Child {
    pub(super) fn floor(lab: &Lab) -> io::Result<Self> {
        Self::start(lab, "floor", "floor")
    }

    pub(super) fn floor_without_disk(lab: &Lab) -> io::Result<Self> {
        Self::start(lab, "floor without the disk", "floor-without-disk")
    }

    pub(super) fn client(lab: &Lab) -> io::Result<Self> {
        Self::start(lab, "bare client", "client")
    }

    fn start(lab: &Lab, name: &str, role: &str) -> io::Result<Self> {
        let folder = lab.folder(role)?;
        let path = folder.to_string_lossy();
        let arguments = ["bench", "--serve", role, "--directory", &path];
        let server = lab.on_servers(|| Server::start(&arguments, &folder.join("log.txt")))?;
        Ok(Self { name: name.to_owned(), server })
    }
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
pub(super) struct Daemon {
    name: String,
    folder: PathBuf,
    server: Server,
}

/// One source, `sqreen`.
pub(super) const ONE_SOURCE: &str = "[sources.sqreen]\nsecrets = \"file:secret\"\n";

/// A target that writes `NAME.jsonl`, and keeps no more than needed.
pub(super) fn file_log(name: &str, lines: &str) -> String {
    format!(
        "[targets.{name}]\nplugin = \"file-log\"\nsettings.path = \"{name}.jsonl\"\n\
         settings.rotate.keep = 1\n{lines}"
    )
}

/// A target that posts to `sink`, on this machine.
pub(super) fn http(name: &str, sink: SocketAddr, concurrency: usize, lines: &str) -> String {
    format!(
        "[targets.{name}]\nplugin = \"http\"\nsettings.url = \"http://{sink}/\"\n\
         allow = [\"127.0.0.0/8\"]\nconcurrency = {concurrency}\n{lines}"
    )
}

/// In a file, because the user's own environment would go before dispatcher.env.
fn write_secret(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(SECRET.as_bytes())
}

impl Daemon {
    /// `lines` are its sources and targets.
    pub(super) fn start(lab: &Lab, name: &str, lines: &str) -> io::Result<Self> {
        let folder = lab.folder(&name.replace([' ', ','], "-"))?;
        // Room for every request of the load at once: 64 of 1,000 events are 64 MB.
        let head = "[server]\nlisten = \"127.0.0.1:0\"\nin_flight_max = \"512MiB\"\n\
                    [store]\nfree_low = \"0B\"\nfree_min = \"0B\"\nretention.size = \"1TiB\"\n";
        std::fs::write(folder.join("dispatcher.toml"), format!("{head}{lines}"))?;
        write_secret(&folder.join("secret"))?;
        let server = Self::run(lab, &folder)?;
        Ok(Self { name: name.to_owned(), folder, server })
    }

    fn run(lab: &Lab, folder: &Path) -> io::Result<Server> {
        let config = folder.join("dispatcher.toml");
        let config = config.to_string_lossy();
        let arguments = ["run", "--log-level", "warn", "--config", &config];
        lab.on_servers(|| Server::start(&arguments, &folder.join("log.txt")))
    }

    /// `kill -9`.
    pub(super) fn kill(&mut self) {
        self.server.kill();
    }

    pub(super) fn start_again(&mut self, lab: &Lab) -> io::Result<()> {
        self.server = Self::run(lab, &self.folder)?;
        Ok(())
    }

    /// What makes searches fast; the log is the truth.
    pub(super) fn delete_index(&self) -> io::Result<()> {
        std::fs::remove_dir_all(self.folder.join("data/index"))
    }

    /// Whether the index is still being made.
    pub(super) fn is_rebuilding(&self) -> io::Result<bool> {
        Ok(self.status()?.state.contains("being rebuilt"))
    }

    fn status(&self) -> io::Result<Status> {
        let config = self.folder.join("dispatcher.toml");
        let daemon = ask::Daemon::find(Some(&config)).map_err(|f| io::Error::other(f.text))?;
        daemon.get("/status").map_err(|f| io::Error::other(f.text))
    }

    /// Deliveries that wait for a target.
    pub(super) fn pending(&self, target: &str) -> io::Result<u64> {
        let mut targets = self.status()?.targets.into_iter();
        let target = targets.find(|found| found.name == target);
        target.map(|target| target.pending).ok_or_else(|| io::Error::other("no such target"))
    }

    /// Waits until nothing waits for a target.
    pub(super) fn drained(&self, target: &str) -> io::Result<()> {
        let began = Instant::now();
        while self.pending(target)? > 0 {
            if began.elapsed() > DRAIN_PATIENCE {
                let name = &self.name;
                return Err(io::Error::other(format!("{name}: {target} does not get done")));
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
