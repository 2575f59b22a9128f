//! Opening a store: reads the end of the log and continues where it ends.

pub(super) mod begin;
pub(super) mod open;
pub(super) mod replay;
pub(super) mod rewrite;
pub(super) mod torn_tail;
