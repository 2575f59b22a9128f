//! The state of every target, as the log says it.

pub(super) mod apply;
pub(super) mod counts;
