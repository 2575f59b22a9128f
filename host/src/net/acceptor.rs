//! Accepts connections, and makes room for them.
//!
//! A newcomer for which there will be room soon waits its turn here, so that those behind it in the kernel's queue which
//! need not wait are served at once.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection;
use super::open_connections::{Newcomer, OpenConnections, Room};
use super::peer::Proxies;
use super::room::Owner;
use crate::telemetry::LogThrottle;

/// Most connections at a time that get a 503. Further ones are closed at once.
const BEING_REFUSED_MAX: usize = 256;
/// Wait when the process has no more open files or memory for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Longest wait for the end of a connection that was closed to make room.
const ROOM_WAIT: Duration = Duration::from_secs(1);

/// Most newcomers that wait their turn, in all and for each of `connections_max`. With more of them, turns are cut short,
/// so that none waits longer than a few seconds.
const WAITING_MAX: usize = 256;
const WAITING_PER_SEAT: usize = 4;
/// How often those that wait look for room.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// An accepted connection.
pub(super) struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) address: SocketAddr,
    /// Counts the connection as open until it is dropped.
    pub(super) permit: OwnedSemaphorePermit,
}

/// Accepts connections within the limit.
pub(super) struct Acceptor {
    pub(super) permits: Arc<Semaphore>,
    pub(super) open: Arc<OpenConnections>,
    waiting: VecDeque<(TcpStream, SocketAddr)>,
    waiting_max: usize,
    look_again: tokio::time::Instant,
    /// The last newcomer that had to wait at once, and until when that is taken to hold for all of its address.
    must_wait: Option<(Owner, tokio::time::Instant)>,
    proxies: Arc<Proxies>,
    being_refused: Arc<Semaphore>,
    full_lines: LogThrottle,
    error_lines: LogThrottle,
}

impl Acceptor {
    pub(super) fn new(connections_max: usize, proxies: Arc<Proxies>) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(connections_max)),
            open: Arc::default(),
            waiting: VecDeque::new(),
            waiting_max: WAITING_MAX.min(connections_max.saturating_mul(WAITING_PER_SEAT)),
            look_again: tokio::time::Instant::now(),
            must_wait: None,
            proxies,
            being_refused: Arc::new(Semaphore::new(BEING_REFUSED_MAX)),
            full_lines: LogThrottle::new(1, Duration::from_secs(60)),
            error_lines: LogThrottle::new(1, Duration::from_secs(10)),
        }
    }

    /// The next connection for which there is room. `turned_away` is called for each that is refused.
    pub(super) async fn accept(
        &mut self,
        socket: &TcpListener,
        turned_away: impl Fn(),
    ) -> Accepted {
        loop {
            let first = self.first_waiting();
            let waited = first.is_some();
            let next = if waited { first } else { self.arriving(socket).await };
            let Some((stream, address)) = next else { continue };
            let owner = Owner::from(address.ip());
            let now = tokio::time::Instant::now();
            // Another one of its address must wait, too: a flood would cost a look at all connections for each.
            let is_known =
                self.must_wait.is_some_and(|(other, until)| other == owner && now < until);
            if !waited && is_known {
                self.waiting.push_back((stream, address));
                continue;
            }
            match self.permit(address, waited).await {
                Ok(permit) => return Accepted { stream, address, permit },
                Err(Room::Later) if waited => {
                    self.waiting.push_front((stream, address));
                    self.look_again = tokio::time::Instant::now() + LOOK_AGAIN;
                }
                Err(Room::Later) => {
                    self.must_wait = Some((owner, now + LOOK_AGAIN));
                    self.waiting.push_back((stream, address));
                }
                Err(_) => {
                    turned_away();
                    self.refuse(stream);
                }
            }
        }
    }

    /// The first of those that wait, if it is time to look for room.
    fn first_waiting(&mut self) -> Option<(TcpStream, SocketAddr)> {
        let due = !self.waiting.is_empty()
            && (self.waiting.len() > self.waiting_max
                || self.permits.available_permits() > 0
                || self.look_again <= tokio::time::Instant::now());
        due.then(|| self.waiting.pop_front())?
    }

    /// The next connection of the kernel's queue. `None`: there was an error, or it is time to look for room.
    async fn arriving(&self, socket: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
        let accepted = if self.waiting.is_empty() {
            socket.accept().await
        } else {
            tokio::time::timeout_at(self.look_again, socket.accept()).await.ok()?
        };
        match accepted {
            Ok(newcomer) => return Some(newcomer),
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                let room = self.open.make_room(Newcomer::WaitsForNone, tokio::time::Instant::now());
                if self.error_lines.admit(Instant::now()).is_some() {
                    tracing::error!(
                        %error,
                        closed = room.closed(),
                        "cannot accept connections; is the limit of open files too low?"
                    );
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        None
    }

    /// A permit for one more connection, which may close others. `waited`: it is the first of those that waited.
    async fn permit(
        &self,
        address: SocketAddr,
        waited: bool,
    ) -> Result<OwnedSemaphorePermit, Room> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        let newcomer = if waited && self.waiting.len() >= self.waiting_max {
            Newcomer::WaitsForNone
        } else if self.proxies.trusts(address) {
            Newcomer::WaitsForAll
        } else {
            Newcomer::Of(address.ip().into())
        };
        let room = self.open.make_room(newcomer, tokio::time::Instant::now());
        if let Some(left_out) = self.full_lines.admit(Instant::now()) {
            tracing::warn!(
                closed = room.closed(),
                left_out,
                "server.connections_max is reached; idle and slow connections are closed, and newcomers wait their turn"
            );
        }
        if room.closed() == 0 {
            return Err(room);
        }
        // They end as soon as their tasks run. Not waited for longer, because one may be busy.
        let permit = Arc::clone(&self.permits).acquire_owned();
        match tokio::time::timeout(ROOM_WAIT, permit).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Room::None),
        }
    }

    fn refuse(&self, stream: TcpStream) {
        if let Ok(permit) = Arc::clone(&self.being_refused).try_acquire_owned() {
            tokio::spawn(async move {
                connection::refuse(stream).await;
                drop(permit);
            });
        }
    }
}

/// Whether the error concerns only the connection that caused it.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_that_concern_the_process_are_waited_out() {
        use rustix::io::Errno;
        for (errno, expected) in [
            (Errno::CONNABORTED, true),
            (Errno::CONNRESET, true),
            (Errno::INTR, true),
            (Errno::MFILE, false),
            (Errno::NFILE, false),
            (Errno::NOBUFS, false),
            (Errno::NOMEM, false),
        ] {
            let error = io::Error::from_raw_os_error(errno.raw_os_error());
            assert_eq!(concerns_one_connection(&error), expected, "{error}");
        }
    }
}
