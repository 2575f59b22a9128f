//! How much space there is, and whether requests are accepted.

pub(super) mod guard;
