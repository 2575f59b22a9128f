//! Removes the oldest segments and relocates what is still needed.

pub(super) mod dead_letters;
pub(super) mod relocate;
pub(super) mod retire;
