//! The one HTTP client of the daemon, offered to plugins, with a policy on what it reaches.
//!
//! `http` and `https` only, HTTP/1.1, connections pooled, TLS with the roots of Mozilla. Redirects are
//! answers like any other and are not followed; proxies named in the environment are ignored.
//! Addresses inside the own network are closed unless the target's `allow` opens them.
//! Every error says whether a byte of the request may have left ([`ErrorKind`]), and never contains
//! the path or query of the URL nor a header, because secrets live there.

mod address;
mod client;
mod connect;
mod pool;
mod request;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::model::Cidr;

pub use client::{Client, TlsUnavailable};
pub use request::{HEADER_BYTES_MAX, HEADERS_MAX};

/// How the client behaves; the same for all targets.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Most requests under way to one host and port; further ones wait within their deadline.
    pub connections_per_host_max: usize,
    /// Most unused connections kept for one host and port.
    pub connections_idle_max: usize,
    /// How long an unused connection is kept. Shorter than most servers keep theirs, because a
    /// request that meets a closing connection ends as "maybe sent".
    pub idle_timeout: Duration,
    /// For name lookup, connection and TLS together.
    pub connect_timeout: Duration,
    /// Longest body of an answer; a longer one is an error.
    pub response_bytes_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connections_per_host_max: 64,
            connections_idle_max: 64,
            idle_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            response_bytes_max: 1024 * 1024,
        }
    }
}

/// A request to send. `Debug` shows neither URL nor headers nor body.
#[derive(Clone)]
pub struct Outgoing {
    pub method: http::Method,
    pub url: String,
    /// At most [`HEADERS_MAX`] fields of [`HEADER_BYTES_MAX`] bytes together; the client itself
    /// writes those about the connection (`host`, `content-length`, …).
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// Ranges that this target may reach although they are closed by default. Targets share
    /// connections only when their lists are equal.
    pub allow: Arc<[Cidr]>,
    /// When the whole answer must be here.
    pub deadline: Instant,
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").field("method", &self.method).finish_non_exhaustive()
    }
}

/// What came back, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case, in the order received; bytes that are no UTF-8 are replaced.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

/// Whether the destination may have got the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No byte of the request left: sending it again cannot send it twice.
    NotSent,
    /// Bytes may have left: the destination may have acted on them.
    Ambiguous,
}

/// No answer. One line for people that names host and port and says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct EgressError {
    pub kind: ErrorKind,
    pub reason: String,
}

impl EgressError {
    fn not_sent(reason: impl Into<String>) -> Self {
        Self { kind: ErrorKind::NotSent, reason: reason.into() }
    }

    fn ambiguous(reason: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Ambiguous, reason: reason.into() }
    }
}
