//! Listening, and speaking HTTP/1.1 with whoever connects.

use std::net::SocketAddr;
use std::time::Duration;

/// How a listener behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// From a request head's first byte to its last; then 408.
    pub header_timeout: Duration,
    /// How long a connection may rest between requests before it is closed.
    pub idle_timeout: Duration,
    /// How long requests in flight may still take once the listener was told to stop.
    pub drain_timeout: Duration,
    /// At this many open connections no further one is accepted until one ends; the kernel holds
    /// them. Each takes an open file and some 16 KiB.
    pub connections_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7070)),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            drain_timeout: Duration::from_secs(10),
            connections_max: 1024,
        }
    }
}
