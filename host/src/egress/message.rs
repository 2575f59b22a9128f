//! A request that a target sends, and the response to it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use crate::model::Cidr;

/// A request to send. `Debug` shows neither URL nor headers nor body.
#[derive(Clone)]
pub struct Outgoing {
    pub method: http::Method,
    pub url: String,
    /// At most [`HEADERS_MAX`](super::request::HEADERS_MAX) fields of together
    /// [`HEADER_BYTES_MAX`](super::request::HEADER_BYTES_MAX) bytes. The client itself adds those about the connection
    /// (`host`, `content-length`, …).
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// Ranges that are denied by default and that this target may reach. Targets share connections only if their
    /// lists are equal.
    pub allow: Arc<[Cidr]>,
    /// When the head of the response must have arrived. Its body is read until then, too.
    pub deadline: Instant,
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").field("method", &self.method).finish_non_exhaustive()
    }
}

/// The response, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case, in the order received; bytes that are not UTF-8 are replaced.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// Why `body` is only the start of what was to come: one line. `None`: it is all.
    pub cut: Option<String>,
}
