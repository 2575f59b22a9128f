//! Why a request got no response, and whether it may have arrived.

/// Whether the destination may have received the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No byte of the request was sent, so sending it again cannot duplicate it.
    NotSent,
    /// Bytes may have been sent: the destination may have acted on them.
    Ambiguous,
}

/// Why no response came. One line for people, with host, port and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct EgressError {
    pub kind: ErrorKind,
    pub reason: String,
}

impl EgressError {
    pub(super) fn not_sent(reason: impl Into<String>) -> Self {
        Self { kind: ErrorKind::NotSent, reason: reason.into() }
    }

    pub(super) fn ambiguous(reason: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Ambiguous, reason: reason.into() }
    }
}
