//! The limits of the HTTP client.

use std::time::Duration;

/// The limits of the client, the same for all targets.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Most requests at once to one host and port; further ones wait within their deadline.
    pub connections_per_host_max: usize,
    /// Most unused connections kept for one host and port.
    pub connections_idle_max: usize,
    /// How long an unused connection is kept: not as long as most servers keep theirs, because a request on a
    /// connection that is being closed ends as "maybe sent".
    pub idle_timeout: Duration,
    /// For name lookup, connection and TLS together.
    pub connect_timeout: Duration,
    /// How much of a response's body is read.
    pub response_bytes_max: usize,
    /// How long a response's body is read, within the deadline of the request.
    pub response_time_max: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connections_per_host_max: 64,
            connections_idle_max: 64,
            idle_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            response_bytes_max: 1024 * 1024,
            response_time_max: Duration::from_secs(5),
        }
    }
}
