//! Listening, and speaking HTTP/1.1 with whoever connects.
//!
//! The only place that knows how connections are accepted and ended. Limits: open connections
//! ([`Settings::connections_max`]; at the limit those that wait in vain make room, see `seats`, and while
//! all of them have a request that is being answered a new one is told 503), the request head ([`HEAD_BYTES_MAX`] bytes and 100 fields,
//! then 431), the time for a head (then 408), the time between requests, and the time that a stop may
//! take. Bodies are the handler's matter, their limits too. Who sends a request is told by trusted proxies
//! alone, see `forwarded` and `proxy`.
//!
//! An error of accepting never ends the listener: what concerns one connection is skipped, and what
//! concerns the process (no more open files) is waited out, while connections that wait in vain make room.

mod connection;
mod forwarded;
mod peer;
mod proxy;
mod seats;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::model::Cidr;
use crate::telemetry::LogThrottle;
use connection::Activity;
pub use peer::Peer;
use peer::Proxies;
use seats::Seats;

/// Longest request line and header fields together, in bytes.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Connections that the kernel holds while none is accepted.
const BACKLOG: u32 = 1024;
/// Most open connections unless configured otherwise.
pub const CONNECTIONS_MAX: usize = 16_384;
/// Most connections at a time that are told that there are too many; further ones are closed at once.
const TURNED_AWAY_MAX: usize = 256;
/// How long to wait when the process has no more open files or memory for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How a listener behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// From a request head's first byte to its last; then 408.
    pub header_timeout: Duration,
    /// How long a connection may rest between requests before it is closed. Longer than what proxies
    /// rest (mostly 60 s), so that they close first and lose no request.
    pub idle_timeout: Duration,
    /// How long requests in flight may still take once the listener was told to stop.
    pub drain_timeout: Duration,
    /// At this many open connections one that waits in vain for a request has to go before another can
    /// come in. Each takes an open file and, once something came, some 16 KiB.
    pub connections_max: usize,
    /// Proxies that are believed whom they speak for.
    pub trusted_proxies: Arc<[Cidr]>,
    /// Connections of trusted proxies begin with a header of the PROXY protocol.
    pub proxy_protocol: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7070)),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            drain_timeout: Duration::from_secs(10),
            connections_max: CONNECTIONS_MAX,
            trusted_proxies: Arc::default(),
            proxy_protocol: false,
        }
    }
}

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Dropped at any await when the connection ends.
    fn handle(
        &self,
        request: http::Request<Incoming>,
        peer: Peer,
    ) -> impl Future<Output = http::Response<Full<Bytes>>> + Send;
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("{0} is taken; another dispatcher? see 'ss -ltnp'")]
    Taken(SocketAddr),
    #[error(
        "{0} needs a privilege: ports below 1024 are for root or CAP_NET_BIND_SERVICE; \
         take a higher port"
    )]
    Denied(SocketAddr),
    #[error("{0} is no address of this host; see 'ip address', or listen on 127.0.0.1 or [::]")]
    NotOurs(SocketAddr),
    #[error("cannot listen on {0}: {1}")]
    Other(SocketAddr, #[source] io::Error),
}

/// A bound address.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    settings: Settings,
}

impl Listener {
    /// Binds at once, so that a later failure is not the listener's. Needs a runtime's context.
    ///
    /// # Errors
    /// The address cannot be had; the text says what to do.
    pub fn bind(settings: &Settings) -> Result<Self, BindError> {
        let bound = || {
            let socket = match settings.listen {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            // Else a restart would have to wait for the connections of the last run to time out.
            socket.set_reuseaddr(true)?;
            socket.bind(settings.listen)?;
            let socket = socket.listen(BACKLOG)?;
            let address = socket.local_addr()?;
            Ok(Self { socket, address, settings: settings.clone() })
        };
        let address = settings.listen;
        bound().map_err(|error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => BindError::Taken(address),
            io::ErrorKind::PermissionDenied => BindError::Denied(address),
            io::ErrorKind::AddrNotAvailable => BindError::NotOurs(address),
            _ => BindError::Other(address, error),
        })
    }

    /// The address in force: with port 0 the one that was given.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is done; then accepts no more, lets requests in flight finish and ends.
    pub async fn serve<H: Handler>(self, handler: Arc<H>, shutdown: impl Future<Output = ()>) {
        let Self { socket, settings, .. } = self;
        // More than the kernel could ever open; the limit that `acquire_many` needs.
        let connections_max =
            u32::try_from(settings.connections_max.max(1)).unwrap_or(u32::MAX >> 4);
        let door = Door {
            slots: Arc::new(Semaphore::new(connections_max as usize)),
            turned_away: Arc::new(Semaphore::new(TURNED_AWAY_MAX)),
            seats: Arc::default(),
            full: LogThrottle::new(1, Duration::from_secs(60)),
            failing: LogThrottle::new(1, Duration::from_secs(10)),
        };
        let (stage, stages) = watch::channel(Stage::Serving);
        let times = connection::Times::of(&settings);
        let proxies = Arc::new(Proxies::of(&settings));
        {
            let mut shutdown = pin!(shutdown);
            loop {
                let (stream, peer, slot) = tokio::select! {
                    () = &mut shutdown => break,
                    accepted = door.accept(&socket) => accepted,
                };
                let activity = Arc::new(Activity::new());
                let seat = door.seats.take(Arc::clone(&activity));
                let number = seat.number();
                let far = Far { stream, address: peer, proxies: Arc::clone(&proxies) };
                let (handler, stages) = (Arc::clone(&handler), stages.clone());
                let task = tokio::spawn(async move {
                    // Given back however it ends.
                    let _held = (seat, slot);
                    connection::serve(far, handler, activity, times, stages).await;
                });
                door.seats.served_by(number, task.abort_handle());
            }
        }
        let slots = door.slots;
        // Closes the listening socket: who connects from here on is refused by the kernel.
        drop(socket);
        stage.send_replace(Stage::Draining);
        let drained = slots.acquire_many(connections_max);
        if tokio::time::timeout(settings.drain_timeout, drained).await.is_err() {
            let left = connections_max as usize - slots.available_permits();
            tracing::warn!(left, "connections did not end in time and are cut");
            stage.send_replace(Stage::Cut);
            // They end at their next poll; the permits cannot fail to come back.
            let _ = slots.acquire_many(connections_max).await;
        }
    }
}

/// The other end of a connection, and what is believed of it.
struct Far {
    stream: TcpStream,
    address: SocketAddr,
    proxies: Arc<Proxies>,
}

/// How far a stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Serving,
    /// Finish the request in flight, then close.
    Draining,
    /// Close at once.
    Cut,
}

/// Lets connections in.
struct Door {
    slots: Arc<Semaphore>,
    turned_away: Arc<Semaphore>,
    seats: Arc<Seats>,
    /// How often the log says so.
    full: LogThrottle,
    failing: LogThrottle,
}

impl Door {
    /// The next connection that there is room for.
    async fn accept(&self, socket: &TcpListener) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
        loop {
            match socket.accept().await {
                Ok((stream, peer)) => match self.slot().await {
                    Some(slot) => return (stream, peer, slot),
                    None => self.turn_away(stream),
                },
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    let cleared = self.seats.clear_some(tokio::time::Instant::now());
                    if self.failing.admit(Instant::now()).is_some() {
                        tracing::error!(%error, cleared, "cannot accept connections; raise the limit of open files?");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// A slot, of one that waits in vain if there is no other.
    async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return Some(slot);
        }
        let cleared = self.seats.clear_some(tokio::time::Instant::now());
        if let Some(left_out) = self.full.admit(Instant::now()) {
            tracing::warn!(
                cleared,
                left_out,
                "connections_max is reached: connections that wait for a request make room"
            );
        }
        if cleared == 0 {
            return None;
        }
        // They go as soon as their tasks run; one that is busy meanwhile must not hold up the others.
        let slot = Arc::clone(&self.slots).acquire_owned();
        tokio::time::timeout(ACCEPT_PAUSE, slot).await.ok()?.ok()
    }

    fn turn_away(&self, stream: TcpStream) {
        if let Ok(place) = Arc::clone(&self.turned_away).try_acquire_owned() {
            tokio::spawn(async move {
                connection::turn_away(stream).await;
                drop(place);
            });
        }
    }
}

/// Whether the failure went away with the connection that caused it.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests;
