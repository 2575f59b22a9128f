//! What `net` must know.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::model::Cidr;

/// Longest request line and header fields together, in bytes.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Default of the most open connections.
pub const CONNECTIONS_MAX: usize = 16_384;

/// How a listener behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Port 0: any free port.
    pub listen: SocketAddr,
    /// From the first byte of a request head to its last; then 408.
    pub header_timeout: Duration,
    /// How long a connection may be idle between requests before it is closed. Longer than that of proxies (mostly
    /// 60 s), so that they close first and lose no request.
    pub idle_timeout: Duration,
    /// How long requests in flight may still take after a stop.
    pub drain_timeout: Duration,
    /// At this many open connections, an idle one is closed before another one is accepted. Each needs an open file
    /// and, once it has received something, some 16 KiB.
    pub connections_max: usize,
    /// Proxies whose X-Forwarded-For, Forwarded and PROXY headers are trusted.
    pub trusted_proxies: Arc<[Cidr]>,
    /// Connections of trusted proxies begin with a PROXY protocol header.
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
