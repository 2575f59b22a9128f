//! [`Listener`]: binds an address and serves its connections until a stop.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

use super::acceptor::{Accepted, Acceptor};
use super::activity::{Activity, Times};
use super::connection::{self, Remote, Stage};
use super::handler::Handler;
use super::peer::Proxies;
use super::room::Owner;
use super::settings::Settings;

/// Connections that the kernel queues before they are accepted.
const BACKLOG: u32 = 1024;

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("{0} is already in use, perhaps by another dispatcher; see 'ss -ltnp'")]
    Taken(SocketAddr),
    #[error(
        "no permission to listen on {0}: ports below 1024 need root or CAP_NET_BIND_SERVICE; \
         choose a higher port"
    )]
    Denied(SocketAddr),
    #[error("{0} is not an address of this host; see 'ip address', or listen on 127.0.0.1 or [::]")]
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
    /// Binds the address. Must be called within a runtime.
    ///
    /// # Errors
    /// The address is not available. The text says what to do.
    pub fn bind(settings: &Settings) -> Result<Self, BindError> {
        let bound = || {
            let socket = match settings.listen {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            // Otherwise a restart would have to wait until the connections of the last run time out.
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

    /// The actual address, with the assigned port if port 0 was asked for.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` completes. Then accepts no more, lets requests in flight finish, and returns.
    pub async fn serve<H: Handler>(self, handler: Arc<H>, shutdown: impl Future<Output = ()>) {
        let Self { socket, settings, .. } = self;
        // `acquire_many` takes a u32. The bound is more than the kernel could ever open.
        let connections_max =
            u32::try_from(settings.connections_max.max(1)).unwrap_or(u32::MAX >> 4);
        let (stage, stages) = watch::channel(Stage::Serving);
        let times = Times::of(&settings);
        let proxies = Arc::new(Proxies::of(&settings));
        let mut acceptor = Acceptor::new(connections_max as usize, Arc::clone(&proxies));
        {
            let mut shutdown = pin!(shutdown);
            loop {
                let Accepted { stream, address, permit } = tokio::select! {
                    () = &mut shutdown => break,
                    accepted = acceptor.accept(&socket, || handler.turned_away()) => accepted,
                };
                let owner = Owner::from(address.ip());
                let activity = Arc::new(Activity::new(owner));
                // From the start: its first bytes may be late only because the processor is busy.
                activity.held_for(owner, proxies.trusts(address));
                let entry = acceptor.open.add(Arc::clone(&activity));
                let number = entry.number();
                let remote = Remote { stream, address, proxies: Arc::clone(&proxies) };
                let (handler, stages) = (Arc::clone(&handler), stages.clone());
                let task = tokio::spawn(async move {
                    // Released however the task ends.
                    let _released_at_end = (entry, permit);
                    connection::serve(remote, handler, activity, times, stages).await;
                });
                acceptor.open.served_by(number, task.abort_handle());
            }
        }
        let permits = Arc::clone(&acceptor.permits);
        // Closes the listening socket, from now on the kernel refuses connections; and those that wait for room.
        drop((socket, acceptor));
        stage.send_replace(Stage::Draining);
        let drained = permits.acquire_many(connections_max);
        if tokio::time::timeout(settings.drain_timeout, drained).await.is_err() {
            let left = connections_max as usize - permits.available_permits();
            tracing::warn!(left, "connections did not end in time and are being closed");
            stage.send_replace(Stage::Cut);
            // They end at their next poll and release their permits.
            let _ = permits.acquire_many(connections_max).await;
        }
    }
}
