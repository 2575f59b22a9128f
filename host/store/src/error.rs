//! Why the store did not do what it was asked for.

use std::path::PathBuf;
use std::sync::Arc;

use dispatcher_model::EventId;

/// Why a request could not be stored. None of it is stored; the sender may try again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// The queue before the disk is full.
    #[error("more requests than the disk takes")]
    Overloaded,
    /// Too large for a segment: it will never fit.
    #[error("the request has {bytes} bytes, a segment takes {bytes_max}")]
    TooLarge { bytes: usize, bytes_max: usize },
    /// Refused until there is space on the disk or in the log; the text says what, where and what to do.
    #[error("{reason}")]
    Full { reason: String },
    /// The disk refused; the text says what and where.
    #[error("{0}")]
    Disk(String),
    #[error("the store is closed")]
    Closed,
}

/// Any other failure of the store: what, where and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("the store is closed")]
    Closed,
    #[error("unknown target number {0}: register its name first")]
    UnknownTarget(u16),
    /// The index answers when the rebuild is done.
    #[error("{progress}: try again when it is done")]
    Rebuilding { progress: String },
    #[error("cannot read the index: {reason}")]
    ReadIndex { reason: String },
    #[error("cannot read the log in {folder}: {reason}")]
    ReadLog { folder: PathBuf, reason: String },
    /// The disk refused; the text says what and where.
    #[error("{reason}")]
    Disk { reason: String },
    #[error("target {target} is too busy to expire its deliveries: try again")]
    Busy { target: Arc<str> },
    #[error(
        "event {0} is no longer kept: [store] retention removed it. A dead letter without its event can \
         be dropped, not replayed"
    )]
    NotKept(EventId),
    /// The event was stored, but the log is damaged there.
    #[error("event {id} cannot be read: {place}")]
    Unreadable { id: EventId, place: String },
    /// Some deliveries that a person wanted to drop.
    #[error(
        "{dropped} deliveries were dropped; these events cannot be read, and what of them waits for the target becomes a \
         dead letter when it gets there: {}",
        list(unreadable)
    )]
    NotDropped { dropped: u64, unreadable: Vec<EventId> },
    #[error(
        "the store knows {known} targets, and {new} new ones are too many (at most {max}): drop or move what waits for \
         targets that were removed, keep an old name, or wait until store.retention has removed the old events"
    )]
    TooManyTargets { known: usize, new: usize, max: usize },
    /// More than one of the limits allows.
    #[error("too large: {what}, at most {max}")]
    TooLarge { what: String, max: usize },
    #[error("a task of the store ended early: {reason}")]
    Interrupted { reason: String },
    #[error("this kind of store cannot do that")]
    Unsupported,
}

fn list(events: &[EventId]) -> String {
    events.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
