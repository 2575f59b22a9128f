//! What callers and the threads of the store share, and the commands for the thread that writes the log.

pub(super) mod ask_index;
pub(super) mod blocking;
pub(super) mod events;
pub(super) mod inbox;
pub(super) mod index_slot;
pub(super) mod key_sets;
pub(super) mod machine;
pub(super) mod prepared;
pub(super) mod rebuild;
pub(super) mod retention_limits;
pub(super) mod shared;
