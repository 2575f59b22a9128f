//! A server of our own in a child process, for `bench` and `demo`: started, found, killed.
//!
//! The child says `listening on http://ADDRESS` on its standard output once it is ready. It is
//! killed when the value is dropped, so that nothing is left behind.

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A running child.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts this program with `arguments`; its log goes to `log`.
    pub(super) fn start(arguments: &[&str], log: &Path) -> io::Result<Self> {
        let log_file = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .spawn()?;
        match Self::wait_for_address(&mut child) {
            Some(address) => Ok(Self { child, address }),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                let said = std::fs::read_to_string(log).unwrap_or_default();
                let last = said.lines().last().unwrap_or("it said nothing").to_owned();
                Err(io::Error::other(format!("the server did not start: {last}")))
            }
        }
    }

    fn wait_for_address(child: &mut Child) -> Option<SocketAddr> {
        let output = BufReader::new(child.stdout.take()?);
        output.lines().map_while(Result::ok).find_map(|line| {
            line.strip_prefix("listening on http://")?.trim_end_matches('/').parse().ok()
        })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, and waits until it is gone.
    pub(super) fn kill(&mut self) {
        // Both fail only when the child has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
