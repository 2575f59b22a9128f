//! Who is at the other end: of the connection, and of the request behind trusted proxies.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use tokio::net::TcpStream;

use super::{Settings, forwarded, proxy};
use crate::model::Cidr;
use crate::telemetry::LogThrottle;

/// Log lines about connections without the header that they must begin with, in each window.
const LINES_MAX: u32 = 5;
const LINES_WINDOW: Duration = Duration::from_secs(60);

/// Who sends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The other end of the connection, or whom a trusted proxy's PROXY header names.
    hop: SocketAddr,
    /// `None`: trusted proxies contradict one another.
    client: Option<IpAddr>,
}

impl Peer {
    /// The address of the sender, as far as trusted proxies know it. `None`: what they say contradicts
    /// itself, so that a sender could have made it up.
    #[must_use]
    pub const fn client(&self) -> Option<IpAddr> {
        self.client
    }

    /// An address to count by: the sender's, or where it is not known the last proxy's.
    #[must_use]
    pub fn nearest(&self) -> IpAddr {
        self.client.unwrap_or_else(|| self.hop.ip())
    }
}

impl From<SocketAddr> for Peer {
    fn from(hop: SocketAddr) -> Self {
        let hop = canonical(hop);
        Self { hop, client: Some(hop.ip()) }
    }
}

/// The sender, and the proxy that it came by where that is another.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.client {
            Some(client) if client == self.hop.ip() => self.hop.fmt(f),
            Some(client) => write!(f, "{client} by {}", self.hop),
            None => write!(f, "unknown by {}", self.hop),
        }
    }
}

/// Without the IPv6 clothes that a socket for both families puts around IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Whom a listener believes.
#[derive(Debug)]
pub(super) struct Proxies {
    trusted: Arc<[Cidr]>,
    protocol: bool,
    lines: LogThrottle,
}

impl Proxies {
    pub(super) fn of(settings: &Settings) -> Self {
        Self {
            trusted: Arc::clone(&settings.trusted_proxies),
            protocol: settings.proxy_protocol,
            lines: LogThrottle::new(LINES_MAX, LINES_WINDOW),
        }
    }

    /// Whether a connection from there begins with a header of the PROXY protocol. From elsewhere none is
    /// read, and one that comes is no HTTP.
    pub(super) fn introduces(&self, peer: SocketAddr) -> bool {
        self.protocol && forwarded::trusts(&self.trusted, peer.ip().to_canonical())
    }

    /// Reads that header; `None` where it is none, which the log says.
    pub(super) async fn introduced(
        &self,
        stream: &mut TcpStream,
        peer: SocketAddr,
    ) -> Option<SocketAddr> {
        match proxy::read(stream).await {
            Ok(source) => Some(source.unwrap_or(peer)),
            // It went away, as a look whether somebody listens here does.
            Err(error) if error.kind() != io::ErrorKind::InvalidData => None,
            Err(error) => {
                if let Some(left_out) = self.lines.admit(Instant::now()) {
                    tracing::warn!(
                        %peer,
                        left_out,
                        "connection refused: {error}; with server.proxy_protocol trusted proxies must send it"
                    );
                }
                None
            }
        }
    }

    /// Who sends a request with these headers that came by `hop`.
    pub(super) fn peer(&self, hop: SocketAddr, headers: &HeaderMap) -> Peer {
        if self.trusted.is_empty() {
            return hop.into();
        }
        let hop = canonical(hop);
        Peer { hop, client: forwarded::client(headers, hop.ip(), &self.trusted) }
    }
}

#[cfg(test)]
mod tests;
