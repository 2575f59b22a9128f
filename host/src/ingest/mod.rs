//! From a request's bytes to its answer.

use std::sync::Arc;
use std::time::Duration;

use crate::normalize::Sender;
use crate::verify::Verifier;

/// One configured sender.
#[derive(Clone, Debug)]
pub struct SourceSettings {
    pub name: Arc<str>,
    /// Begins with `/`; with or without a slash at its end it is the same.
    pub path: String,
    pub verifier: Verifier,
    pub sender: &'static Sender,
    /// Longest body in bytes.
    pub body_bytes_max: usize,
}

/// How requests are received.
#[derive(Clone, Debug)]
pub struct Settings {
    pub sources: Vec<SourceSettings>,
    /// Most bytes of bodies held at once, over all requests.
    pub bytes_in_flight_max: usize,
    /// From the request's head to the last byte of its body; then 408.
    pub body_timeout: Duration,
    /// Hash of the configuration, kept with each request.
    pub config: u64,
}

/// Longest body that a source takes unless it says otherwise.
pub const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most bytes in flight unless configured otherwise.
pub const BYTES_IN_FLIGHT_MAX: usize = 64 * 1024 * 1024;
/// Time for a body unless configured otherwise.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);
