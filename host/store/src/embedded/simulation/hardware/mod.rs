//! The simulated hardware under a store in a test.

pub(crate) mod disk;
mod disk_tests;
pub(crate) mod faulty_index;
pub(crate) mod gate;
pub(crate) mod index_place;
pub(crate) mod memory_index;
mod sectors;
pub(crate) mod time;
