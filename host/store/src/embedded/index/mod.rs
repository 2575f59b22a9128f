//! The rows derived from the log: the interface, its engine, what is asked of it, and the keys it does not have yet.

pub(super) mod fjall;
pub(super) mod fjall_files;
pub(super) mod fjall_home;
pub(super) mod key_filter;
mod keys_kept;
pub(super) mod queries;
pub(super) mod recent;
pub(super) mod rows;
pub(super) mod set_aside;
pub(super) mod sweep;
mod window_row;
