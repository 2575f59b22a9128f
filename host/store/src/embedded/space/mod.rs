//! How much space there is, and whether requests are accepted.

pub(super) mod guard;
pub(super) mod opened_files;
mod shown;
mod sizes;
