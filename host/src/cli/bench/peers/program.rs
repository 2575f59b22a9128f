//! A program that others wrote, running on this machine for as long as the value lives.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::cli::bench::lab::{Lab, Subject};

/// Longest wait for it to listen.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// Longest wait for it to end when asked; then it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(super) struct Program {
    name: String,
    child: Child,
    address: SocketAddr,
}

/// Where it lies on the search path.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

impl Program {
    /// On the servers' cores, in `folder`; listens on `port` when this returns.
    pub(super) fn start(
        lab: &Lab,
        name: &str,
        program: &Path,
        arguments: &[String],
        (folder, port): (&Path, u16),
    ) -> io::Result<Self> {
        let log = folder.join("log.txt");
        let (out, error) = (File::create(&log)?, File::options().append(true).open(&log)?);
        let mut command = Command::new(program);
        command.args(arguments).current_dir(folder);
        command.stdin(Stdio::null()).stdout(out).stderr(error);
        let child = lab.on_servers(|| command.spawn())?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut program = Self { name: name.to_owned(), child, address };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = program.child.try_wait()?.is_some();
            if ended || began.elapsed() > START_PATIENCE {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                let last = said.lines().last().unwrap_or("it said nothing").to_owned();
                return Err(io::Error::other(format!("{name} did not start: {last}")));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(program)
    }

    /// `kill -9`.
    pub(super) fn kill(mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn ask_to_stop(&mut self) -> io::Result<()> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(id) = id {
            kill_process(id, Signal::TERM)?;
        }
        let began = Instant::now();
        while self.child.try_wait()?.is_none() && began.elapsed() < STOP_PATIENCE {
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }
}

impl Subject for Program {
    fn name(&self) -> &str {
        &self.name
    }

    fn process(&self) -> u32 {
        self.child.id()
    }

    fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Program {
    /// Asked first, because gunicorn ends its workers then.
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
            return;
        }
        // What does not listen to that is killed.
        let _ = self.ask_to_stop();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
