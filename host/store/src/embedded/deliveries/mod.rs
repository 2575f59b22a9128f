//! What callers do with deliveries: claim, expire, find, explain, hasten, replay, drop and move.

pub(super) mod backlog;
pub(super) mod claim;
pub(super) mod dead_letters;
pub(super) mod expire;
pub(super) mod fate;
pub(super) mod fates;
pub(super) mod gone;
pub(super) mod hasten;
pub(super) mod search;
pub(super) mod unreadable;
pub(super) mod waiting;
