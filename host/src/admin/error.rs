//! Why a request on the admin socket is refused, and with which status.

use http::StatusCode;

use super::wire::Unread;
use super::{BODY_BYTES_MAX, COMMANDS_RESERVED, IDS_MAX, TEXT_BYTES_MAX};
use crate::model::{InvalidEventId, REASON_BYTES_MAX, counted};
use crate::route::InvalidPattern;
use crate::store::StoreError;
use crate::telemetry::{NO_SOURCE, REFUSALS_MAX};

#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    #[error("unknown target {name:?}; {known}")]
    UnknownTarget { name: String, known: String },
    #[error("target {name} has recipients; name one of them: {recipients}")]
    SeveralRecipients { name: String, recipients: String },
    #[error("name the target")]
    NoTarget,
    #[error("a move needs two targets: both are {name}")]
    SameTarget { name: String },
    #[error(
        "unknown source {name:?}; configured: {configured}; {NO_SOURCE} for requests to unknown paths"
    )]
    UnknownSource { name: String, configured: String },
    #[error("no stored event is of source {name:?}{}; configured: {configured}", as_far_as(unread))]
    NoEventsOf {
        name: String,
        configured: String,
        /// What cannot be read, and may have some.
        unread: Box<Unread>,
    },
    #[error("unknown severity {word:?}: critical, error, warning or info")]
    UnknownSeverity { word: String },
    #[error("unknown state {word:?}: waiting, retrying, delivered, dead, dropped or not-routed")]
    UnknownState { word: String },
    #[error("not a valid type: {0}")]
    InvalidPattern(InvalidPattern),
    #[error("since_ms is not a number")]
    InvalidSince,
    #[error("the text is longer than {TEXT_BYTES_MAX} bytes")]
    TextTooLong,
    #[error(
        "event {id} is not stored: it belongs to another store, or was removed by store.retention"
    )]
    UnknownEvent { id: String },
    #[error(
        "no refused request {id} is remembered: the daemon keeps the last {REFUSALS_MAX} of each source \
         since its start; an accepted request is found by the ids of its events"
    )]
    UnknownRequest { id: String },
    #[error("not a valid id: an event has 26 characters, a refused request 16 hexadecimal digits")]
    InvalidId,
    #[error(transparent)]
    InvalidEventId(#[from] InvalidEventId),
    #[error("target {target} is not paused, broken, throttled or down")]
    NotHeld { target: String },
    #[error(
        "target {target} is not paused, broken, throttled or down; {}: `dispatcher retry {target}` attempts what waits now",
        counted(*count, "delivery waits for its next attempt", "deliveries wait for their next attempt")
    )]
    OnlyWaits { target: String, count: u64 },
    #[error("target {target} is {why}")]
    CannotDeliver { target: String, why: &'static str },
    #[error("more than {IDS_MAX} ids in one request")]
    TooManyIds,
    #[error("the reason is longer than {REASON_BYTES_MAX} bytes")]
    ReasonTooLong,
    #[error("max is not a number")]
    InvalidMax,
    #[error("the body did not arrive in time")]
    BodyTimeout,
    #[error("cannot read the body (at most {BODY_BYTES_MAX} bytes): {reason}")]
    Body { reason: String },
    #[error("the body is not valid: {0}")]
    InvalidBody(serde_json::Error),
    #[error("cannot write the answer: {0}")]
    Answer(serde_json::Error),
    #[error("unknown request: {method} {path}")]
    UnknownPath { method: String, path: String },
    #[error("use GET or POST")]
    Method,
    #[error(
        "too many connections to the admin socket, this one gave way to a newer one; ask again"
    )]
    GaveWay,
    #[error(
        "this process runs other commands, and the last {COMMANDS_RESERVED} at once are for other processes; \
         wait until one is done"
    )]
    TooManyCommands,
    #[error("the daemon is stopping")]
    Stopping,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What limits the answer, if anything does.
fn as_far_as(unread: &Unread) -> String {
    match unread.is_nothing() {
        true => String::new(),
        false => format!(", as far as the log can be read ({unread})"),
    }
}

impl RequestError {
    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::UnknownTarget { .. }
            | Self::UnknownSource { .. }
            | Self::NoEventsOf { .. }
            | Self::UnknownEvent { .. }
            | Self::UnknownRequest { .. }
            | Self::UnknownPath { .. } => StatusCode::NOT_FOUND,
            Self::InvalidId
            | Self::InvalidEventId(_)
            | Self::UnknownSeverity { .. }
            | Self::UnknownState { .. }
            | Self::InvalidPattern(_)
            | Self::InvalidSince
            | Self::TextTooLong
            | Self::NotHeld { .. }
            | Self::OnlyWaits { .. }
            | Self::CannotDeliver { .. }
            | Self::SeveralRecipients { .. }
            | Self::SameTarget { .. }
            | Self::NoTarget
            | Self::TooManyIds
            | Self::ReasonTooLong
            | Self::InvalidMax
            | Self::BodyTimeout
            | Self::Body { .. }
            | Self::InvalidBody(_) => StatusCode::BAD_REQUEST,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Answer(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::GaveWay | Self::TooManyCommands | Self::Stopping | Self::Store(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }
}
