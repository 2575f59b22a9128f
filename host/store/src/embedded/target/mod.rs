//! One target in memory: its cursor, what is claimed, what is settled ahead of the cursor.

pub(super) mod expire_range;
pub(super) mod live;
mod resting;
pub(super) mod settle;
