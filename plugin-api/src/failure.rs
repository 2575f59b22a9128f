//! Why a delivery failed, and what the daemon should do next.

use std::fmt::{self, Display};
use std::time::Duration;

/// Most bytes of a failure's text that the daemon stores; the rest is cut off.
pub const TEXT_BYTES_MAX: usize = 1024;
/// Most bytes of [`Failure::progress`]; a longer one is dropped.
pub const PROGRESS_BYTES_MAX: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Retry,
    Reject,
    Throttled,
    Broken,
}

/// A failed attempt. Its text is for people: what happened, on one line of at most [`TEXT_BYTES_MAX`] bytes.
/// The host masks the target's secrets in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub(crate) kind: Kind,
    pub(crate) reason: String,
    pub(crate) after: Option<Duration>,
    pub(crate) maybe_sent: bool,
    pub(crate) progress: Vec<u8>,
}

impl Failure {
    fn new(kind: Kind, why: impl Display) -> Self {
        let reason = why.to_string();
        Self { kind, reason, after: None, maybe_sent: false, progress: Vec::new() }
    }

    /// Deliver this event again later.
    pub fn retry(why: impl Display) -> Self {
        Self::new(Kind::Retry, why)
    }

    /// Never deliver this event: it becomes a dead letter.
    pub fn reject(why: impl Display) -> Self {
        Self::new(Kind::Reject, why)
    }

    /// Deliver nothing to this target until `after` has passed; with `None` the daemon decides how long.
    pub fn throttled(why: impl Display, after: Option<Duration>) -> Self {
        Self { after, ..Self::new(Kind::Throttled, why) }
    }

    /// The target cannot work until a person fixes it: wrong credentials, unknown address. One event alone does not hold
    /// the target; it is retried. A target that refuses every event, or whose probe says the same, is held.
    pub fn broken(why: impl Display) -> Self {
        Self::new(Kind::Broken, why)
    }

    /// How long the destination asked to wait, such as by `Retry-After`.
    #[must_use]
    pub const fn after(mut self, after: Duration) -> Self {
        self.after = Some(after);
        self
    }

    /// The destination may have accepted the event in spite of the failure. The target's `retry.maybe_sent`
    /// decides whether the daemon sends it again or makes it a dead letter.
    #[must_use]
    pub const fn maybe_sent(mut self) -> Self {
        self.maybe_sent = true;
        self
    }

    /// Bytes for the next attempt, so that it can continue where this one stopped; at most
    /// [`PROGRESS_BYTES_MAX`].
    #[must_use]
    pub fn progress(mut self, progress: impl Into<Vec<u8>>) -> Self {
        self.progress = progress.into();
        self
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Failure {}
