//! Accepts connections, and makes room for them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection;
use super::open_connections::OpenConnections;
use crate::telemetry::LogThrottle;

/// Most connections at a time that get a 503. Further ones are closed at once.
const BEING_REFUSED_MAX: usize = 256;
/// Wait when the process has no more open files or memory for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Longest wait for the end of a connection that was closed to make room.
const ROOM_WAIT: Duration = Duration::from_secs(1);

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
    being_refused: Arc<Semaphore>,
    full_lines: LogThrottle,
    error_lines: LogThrottle,
}

impl Acceptor {
    pub(super) fn new(connections_max: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(connections_max)),
            open: Arc::default(),
            being_refused: Arc::new(Semaphore::new(BEING_REFUSED_MAX)),
            full_lines: LogThrottle::new(1, Duration::from_secs(60)),
            error_lines: LogThrottle::new(1, Duration::from_secs(10)),
        }
    }

    /// The next connection for which there is room. `turned_away` is called for each that is refused.
    pub(super) async fn accept(&self, socket: &TcpListener, turned_away: impl Fn()) -> Accepted {
        loop {
            match socket.accept().await {
                Ok((stream, address)) => match self.permit().await {
                    Some(permit) => return Accepted { stream, address, permit },
                    None => {
                        turned_away();
                        self.refuse(stream);
                    }
                },
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    let closed = self.open.make_room(tokio::time::Instant::now());
                    if self.error_lines.admit(Instant::now()).is_some() {
                        tracing::error!(
                            %error,
                            closed,
                            "cannot accept connections; is the limit of open files too low?"
                        );
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// A permit for one more connection, which may close others. `None`: there is no room.
    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Some(permit);
        }
        let closed = self.open.make_room(tokio::time::Instant::now());
        if let Some(left_out) = self.full_lines.admit(Instant::now()) {
            tracing::warn!(
                closed,
                left_out,
                "server.connections_max is reached; idle and slow connections are closed to make room"
            );
        }
        if closed == 0 {
            return None;
        }
        // They end as soon as their tasks run. Not waited for longer, because one may be busy.
        let permit = Arc::clone(&self.permits).acquire_owned();
        tokio::time::timeout(ROOM_WAIT, permit).await.ok()?.ok()
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
