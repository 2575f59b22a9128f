//! Removes the oldest segments and relocates what is still needed.

pub(super) mod dead_letters;
mod reclaim;
pub(super) mod relocate;
pub(super) mod retire;
