//! Why a delivery failed and what the daemon shall do now.

use std::fmt::{self, Display};
use std::time::Duration;

/// Most bytes of a failure's text that the daemon keeps; the rest is cut.
pub const TEXT_BYTES_MAX: usize = 1024;
/// Most bytes of [`Failure::progress`]; more than that and none is kept.
pub const PROGRESS_BYTES_MAX: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Retry,
    Reject,
    Throttled,
    Broken,
}

/// A failed attempt. Its text is for people: what happened, on one line, at most [`TEXT_BYTES_MAX`]
/// bytes; the host masks the target's secrets in it.
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

    /// This event later.
    pub fn retry(why: impl Display) -> Self {
        Self::new(Kind::Retry, why)
    }

    /// This event never: it becomes a dead letter.
    pub fn reject(why: impl Display) -> Self {
        Self::new(Kind::Reject, why)
    }

    /// Nothing to this target before `after` has passed; `None` leaves the time to the daemon.
    pub fn throttled(why: impl Display, after: Option<Duration>) -> Self {
        Self { after, ..Self::new(Kind::Throttled, why) }
    }

    /// Pause the target, lose nothing, tell a person: wrong credentials, no such address.
    pub fn broken(why: impl Display) -> Self {
        Self::new(Kind::Broken, why)
    }

    /// The destination's own wish how long to wait, such as `Retry-After`.
    #[must_use]
    pub const fn after(mut self, after: Duration) -> Self {
        self.after = Some(after);
        self
    }

    /// The destination may have taken the event all the same. By the target's `retry.maybe_sent` the
    /// daemon sends it again, or makes it a dead letter.
    #[must_use]
    pub const fn maybe_sent(mut self) -> Self {
        self.maybe_sent = true;
        self
    }

    /// Handed back on the next attempt, so that it can go on where this one stopped; at most
    /// [`PROGRESS_BYTES_MAX`] bytes.
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
