//! A server of our own in a child process, for `bench`, `demo` and `selftest`: started, found, killed.
//!
//! The child says `listening on http://ADDRESS` on its standard output once it is ready. It is
//! killed when the value is dropped, so that nothing is left behind.

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::sync::oneshot;

/// A running child that listens.
#[derive(Debug)]
pub(super) struct Server {
    process: Process,
    address: SocketAddr,
}

/// A child that may not listen yet.
#[derive(Debug)]
pub(super) struct Launched {
    process: Process,
    address: oneshot::Receiver<SocketAddr>,
    log: PathBuf,
}

/// Killed when dropped.
#[derive(Debug)]
struct Process(Child);

impl Server {
    /// Starts this program with `arguments` and waits until it listens; its log goes to `log`.
    pub(super) fn start(arguments: &[&str], log: &Path) -> io::Result<Self> {
        let Launched { process, address, log } = Launched::new(arguments, log)?;
        match address.blocking_recv() {
            Ok(address) => Ok(Self { process, address }),
            Err(_) => Err(not_started(&log)),
        }
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn id(&self) -> u32 {
        self.process.0.id()
    }

    /// `kill -9`, and waits until it is gone.
    pub(super) fn kill(&mut self) {
        self.process.kill();
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.process.0.try_wait()
    }
}

impl Launched {
    /// Starts this program with `arguments`; its log goes to `log`.
    pub(super) fn new(arguments: &[&str], log: &Path) -> io::Result<Self> {
        let log_file = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
        let child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .spawn()?;
        let mut process = Process(child);
        let output = process.0.stdout.take();
        let (found, address) = oneshot::channel();
        // Ends with the child at the latest.
        std::thread::Builder::new().name("child-output".to_owned()).spawn(move || {
            if let Some(address) = output.and_then(address_in) {
                // Nobody asks any more when the child was given up.
                let _ = found.send(address);
            }
        })?;
        Ok(Self { process, address, log: log.to_owned() })
    }

    /// Waits until it listens.
    pub(super) async fn listening(self, patience: Duration) -> io::Result<Server> {
        let Self { process, address, log } = self;
        match tokio::time::timeout(patience, address).await {
            Ok(Ok(address)) => Ok(Server { process, address }),
            Ok(Err(_)) => Err(not_started(&log)),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!(
                    "the server did not listen within {} s; its log is {}",
                    patience.as_secs(),
                    log.display()
                ),
            )),
        }
    }

    /// `kill -9`; gives whether that was before it listened, or why it had ended by itself.
    pub(super) fn kill(mut self) -> io::Result<bool> {
        if self.process.0.try_wait()?.is_some() {
            return Err(not_started(&self.log));
        }
        self.process.kill();
        Ok(self.address.try_recv().is_err())
    }
}

impl Process {
    fn kill(&mut self) {
        // Both fail only when the child has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn address_in(output: ChildStdout) -> Option<SocketAddr> {
    BufReader::new(output).lines().map_while(Result::ok).find_map(|line| {
        line.strip_prefix("listening on http://")?.trim_end_matches('/').parse().ok()
    })
}

fn not_started(log: &Path) -> io::Error {
    let said = std::fs::read_to_string(log).unwrap_or_default();
    let last = said.lines().last().unwrap_or("it said nothing").to_owned();
    io::Error::other(format!("the server did not start: {last}"))
}
