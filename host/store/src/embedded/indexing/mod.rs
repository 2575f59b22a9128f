//! The thread that keeps the index up to date, and rebuilds it when it failed or is missing.

pub(super) mod indexer;
pub(super) mod lookup;
pub(super) mod lost_rows;
pub(super) mod reindex;
