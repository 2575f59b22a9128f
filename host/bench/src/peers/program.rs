//! Another program, which runs for as long as the value lives.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::lab::{Lab, Subject};

/// Longest wait for it to listen.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// Longest wait for its end after SIGTERM; then it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(super) struct Program {
    name: String,
    child: Child,
    address: SocketAddr,
}

/// The first file of that name in PATH.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

impl Program {
    /// Starts it on the servers' cores, in `folder`. When this returns, it listens on `port`.
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
                let last = said.lines().last().unwrap_or("its log is empty").to_owned();
                return Err(io::Error::other(format!("{name} did not start: {last}")));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(program)
    }

    /// Kills it with SIGKILL.
    pub(super) fn kill(mut self) {
        // Both fail only when it has already ended.
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
    /// SIGTERM first, because gunicorn ends its workers then.
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
            return;
        }
        // If it is still there.
        let _ = self.ask_to_stop();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
