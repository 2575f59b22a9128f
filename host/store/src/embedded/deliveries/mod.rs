//! What callers do with deliveries: claim, expire, explain, replay, drop and move.

pub(super) mod backlog;
pub(super) mod claim;
pub(super) mod dead_letters;
pub(super) mod expire;
pub(super) mod fate;
pub(super) mod gone;
pub(super) mod unreadable;
pub(super) mod waiting;
