//! The verdict of a plugin about one attempt.

use std::time::Duration;

/// Longest reason in bytes; a longer one is truncated.
pub const REASON_BYTES_MAX: usize = 1024;
/// Most bytes of progress that a plugin may return for the next attempt.
pub const PROGRESS_BYTES_MAX: usize = 1024;

/// `Ok`: delivered. `Err`: what to do next, and whether it concerns the event or the whole target.
pub type Verdict = Result<Receipt, Failure>;

/// What the destination returned when it accepted the event, for example Twilio's `sid`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    pub id: Option<String>,
    pub fields: Vec<(String, String)>,
}

impl Receipt {
    /// Whether there is nothing to store.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.id.is_none() && self.fields.is_empty()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// Retry this event later.
    Retry,
    /// Never deliver this event: a dead letter.
    Reject,
    /// Send nothing to this target before `after` has passed.
    Throttled,
    /// The target cannot work as configured (credentials, address). Several such events in a row hold its deliveries.
    Broken,
}

impl FailureKind {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Reject => "reject",
            Self::Throttled => "throttled",
            Self::Broken => "broken",
        }
    }
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: FailureKind,
    /// At most [`REASON_BYTES_MAX`] bytes, secrets masked, one line.
    pub reason: String,
    /// How long the destination asked to wait, for example by `Retry-After`.
    pub after: Option<Duration>,
    /// Bytes were sent, so the destination may have accepted the event although the attempt failed.
    pub maybe_sent: bool,
    /// Given back to the plugin on the next attempt; at most [`PROGRESS_BYTES_MAX`] bytes.
    pub progress: Vec<u8>,
}

impl Failure {
    #[must_use]
    pub fn new(kind: FailureKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into(), after: None, maybe_sent: false, progress: Vec::new() }
    }
}
