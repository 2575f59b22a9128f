//! What `ingest` must know: the sources, and the limits of all requests.

use std::sync::Arc;
use std::time::Duration;

use super::rate::Rate;
use crate::model::{Cidr, Timestamp};
use crate::normalize::Sender;
use crate::verify::Verifier;

/// Default of a source's longest body.
pub const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Default of the path that says whether requests are accepted.
pub const HEALTH_PATH: &str = "/healthz";
/// Default of the bytes in flight.
pub const BYTES_IN_FLIGHT_MAX: usize = 64 * 1024 * 1024;
/// How long a body may take, from the end of the request head; then 408.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyTime {
    /// To its last byte.
    pub timeout: Duration,
    /// For which it may be as slow as it likes.
    pub grace: Duration,
    /// Bytes per second that must have arrived since then, on average. Zero: any.
    pub rate_min: u64,
}

impl Default for BodyTime {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30), grace: Duration::from_secs(2), rate_min: 1024 }
    }
}

/// One configured source.
#[derive(Clone, Debug)]
pub struct SourceSettings {
    pub name: Arc<str>,
    /// Begins with `/`. A trailing slash makes no difference, see [`same_path`].
    pub path: String,
    pub verifier: Verifier,
    /// Answer the vendor's handshake.
    pub handshake: bool,
    /// A 200 has no body.
    pub empty_answer: bool,
    pub sender: Arc<Sender>,
    /// Longest body in bytes.
    pub body_bytes_max: usize,
    /// Private ranges in which the keys of its sender may be, if the sender publishes keys.
    pub keys_allow: Arc<[Cidr]>,
    /// The addresses that requests may come from. Empty: any address.
    pub allow: Arc<[Cidr]>,
    /// Rate limits of verified requests. At most [`RATES_MAX`](super::RATES_MAX) of them apply.
    pub rates: Arc<[Rate]>,
    /// What happens to an event that was stored before.
    pub repeat: Repeat,
    /// Warn after this time without an accepted request. `None`: never.
    pub silent_after: Option<Duration>,
    /// Why its requests cannot be verified, such as a secret that could not be read at the start: they get a 503.
    pub unusable: Option<Arc<str>>,
}

/// What happens to an event that was stored before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// It is acknowledged, counted and not delivered again, if the other was received within this time.
    Skip { window: Duration },
    /// It is a new event. Anyone who captures a request can send it again.
    Deliver,
}

impl Repeat {
    #[must_use]
    pub const fn window(self) -> Option<Duration> {
        match self {
            Self::Skip { window } => Some(window),
            Self::Deliver => None,
        }
    }
}

/// How requests are received.
#[derive(Clone, Debug)]
pub struct Settings {
    /// If sources have the same path, the last one gets the requests.
    pub sources: Vec<SourceSettings>,
    /// Most bytes of bodies in memory at once, over all requests.
    pub bytes_in_flight_max: usize,
    pub body_time: BodyTime,
    /// The path that says whether requests are accepted; `None`: no path does. A source's path comes first.
    pub health: Option<String>,
    /// Hash of the configuration, stored with each request.
    pub config: u64,
}

/// Which configuration is in force.
#[derive(Clone, Copy, Debug)]
pub struct InForce {
    /// Its [hash](Settings::config).
    pub config: u64,
    /// How many came into force since the start: 1 is the first.
    pub generation: u64,
    pub since: Timestamp,
}

/// Whether two paths belong to the same source.
#[must_use]
pub fn same_path(one: &str, other: &str) -> bool {
    without_slash(one) == without_slash(other)
}

/// The path without its trailing slash.
pub(super) fn without_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}
