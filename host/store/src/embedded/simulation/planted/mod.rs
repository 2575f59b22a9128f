//! Faults of the hardware that stand for bugs of the store: proof that the simulation finds them.
//!
//! The store's code is the same with and without them. Each wraps the disk, the index or the clock.

mod bug;
mod disk;

pub(crate) use bug::{ALL, Planted};
