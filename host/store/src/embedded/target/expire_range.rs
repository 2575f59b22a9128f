//! Deliveries that an expiry or an operator ends together.

use dispatcher_model::Timestamp;

/// A stretch of the log whose deliveries to a target expire together.
#[derive(Clone, Debug)]
pub(crate) struct ExpireRange {
    pub from: u64,
    pub to: u64,
    pub count: u64,
    pub first: Option<(u64, Timestamp)>,
    pub at: Timestamp,
    pub reason: String,
    /// They are dropped, instead of becoming dead letters.
    pub drops: bool,
}
