//! A server in a child process: started, found, killed.
//!
//! The child gets a pipe as its input, which ends with this process. It prints `listening on http://ADDRESS` on its standard output once it is ready. It is killed
//! when the value is dropped, so that no process is left behind.

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::sync::oneshot;

/// A running child that listens.
#[derive(Debug)]
pub struct Server {
    process: Process,
    address: SocketAddr,
}

/// A child that may not listen yet.
#[derive(Debug)]
pub struct Launched {
    process: Process,
    address: oneshot::Receiver<SocketAddr>,
    log: PathBuf,
}

/// Killed when dropped.
#[derive(Debug)]
struct Process(Child);

impl Server {
    /// Starts `program` and waits until it listens. Its log is appended to the file `log`.
    ///
    /// # Errors
    /// It cannot be started, or it ended before it listened.
    pub fn start(program: &Path, arguments: &[String], log: &Path) -> io::Result<Self> {
        let Launched { process, address, log } = Launched::new(program, arguments, log)?;
        match address.blocking_recv() {
            Ok(address) => Ok(Self { process, address }),
            Err(_) => Err(not_started(&log)),
        }
    }

    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number of its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.0.id()
    }

    /// Kills it with SIGKILL and waits for its end.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// How it ended; `None` while it runs.
    pub(in crate::cli) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.process.0.try_wait()
    }
}

impl Launched {
    /// Starts `program` and does not wait. Its log is appended to the file `log`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn new(program: &Path, arguments: &[String], log: &Path) -> io::Result<Self> {
        let log_file = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
        let child = Command::new(program)
            .args(arguments)
            // Held open until this process ends, however it ends.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .spawn()
            .map_err(|error| {
                io::Error::new(error.kind(), format!("cannot start {}: {error}", program.display()))
            })?;
        let mut process = Process(child);
        let output = process.0.stdout.take();
        let (found, address) = oneshot::channel();
        // Ends with the child at the latest.
        std::thread::Builder::new().name("child-output".to_owned()).spawn(move || {
            if let Some(address) = output.and_then(address_in) {
                // Fails when the child was dropped before it listened.
                let _ = found.send(address);
            }
        })?;
        Ok(Self { process, address, log: log.to_owned() })
    }

    /// Waits until it listens.
    pub(in crate::cli) async fn listening(self, patience: Duration) -> io::Result<Server> {
        let Self { process, address, log } = self;
        match tokio::time::timeout(patience, address).await {
            Ok(Ok(address)) => Ok(Server { process, address }),
            Ok(Err(_)) => Err(not_started(&log)),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!(
                    "the server did not listen within {} s; see its log {}",
                    patience.as_secs(),
                    log.display()
                ),
            )),
        }
    }

    /// Kills it with SIGKILL; returns whether it did not listen yet.
    ///
    /// # Errors
    /// It had already ended by itself.
    pub(in crate::cli) fn kill(mut self) -> io::Result<bool> {
        if self.process.0.try_wait()?.is_some() {
            return Err(not_started(&self.log));
        }
        self.process.kill();
        Ok(self.address.try_recv().is_err())
    }
}

impl Process {
    fn kill(&mut self) {
        // Both fail only when the child has already ended.
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

/// Gives the last line of its log as the reason.
fn not_started(log: &Path) -> io::Error {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let last = text.lines().last().unwrap_or("its log is empty").to_owned();
    io::Error::other(format!("the server did not start: {last}"))
}
