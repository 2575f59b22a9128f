//! Who sends a request: the other end of the connection, or the client that trusted proxies name.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use tokio::net::TcpStream;

use super::settings::Settings;
use super::{forwarded, proxy};
use crate::model::Cidr;
use crate::telemetry::LogThrottle;

/// Most log lines in each window about connections without the PROXY header that they must begin with.
const LINES_MAX: u32 = 5;
const LINES_WINDOW: Duration = Duration::from_secs(60);

/// Who sends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The other end of the connection, or the address in a trusted proxy's PROXY header.
    hop: SocketAddr,
    /// `None`: the headers of trusted proxies contradict each other.
    client: Option<IpAddr>,
}

impl Peer {
    /// The address of the sender, as far as trusted proxies know it. `None`: their headers contradict each other, so the
    /// sender may have forged one.
    #[must_use]
    pub const fn client(&self) -> Option<IpAddr> {
        self.client
    }

    /// An address to count by: the sender's or, if that is unknown, the last proxy's.
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

/// The sender and, if it is another address, the proxy.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.client {
            Some(client) if client == self.hop.ip() => self.hop.fmt(f),
            Some(client) => write!(f, "{client} via {}", self.hop),
            None => write!(f, "unknown via {}", self.hop),
        }
    }
}

/// Turns an IPv4-mapped IPv6 address, which a dual-stack socket reports, into the IPv4 address.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The proxies that a listener trusts.
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

    /// Whether a connection from this address must begin with a PROXY header. On other connections, one is invalid
    /// HTTP.
    pub(super) fn sends_header(&self, peer: SocketAddr) -> bool {
        self.protocol && self.trusts(peer)
    }

    /// Whether this is the address of a trusted proxy.
    pub(super) fn trusts(&self, peer: SocketAddr) -> bool {
        forwarded::trusts(&self.trusted, peer.ip().to_canonical())
    }

    /// Reads the PROXY header and returns the address in it. `None`: there is no valid one, which is logged.
    pub(super) async fn read_header(
        &self,
        stream: &mut TcpStream,
        peer: SocketAddr,
    ) -> Option<SocketAddr> {
        match proxy::read(stream).await {
            Ok(source) => Some(source.unwrap_or(peer)),
            // The connection was closed, as by a health check of a load balancer.
            Err(error) if error.kind() != io::ErrorKind::InvalidData => None,
            Err(error) => {
                if let Some(left_out) = self.lines.admit(Instant::now()) {
                    tracing::warn!(
                        %peer,
                        left_out,
                        "connection refused: {error}; server.proxy_protocol requires the header from trusted proxies"
                    );
                }
                None
            }
        }
    }

    /// The sender of a request with these headers that arrived from `hop`.
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
