//! What a store under test runs on instead of a machine.

pub(crate) mod disk;
mod disk_tests;
pub(crate) mod faulty_index;
pub(crate) mod index_place;
pub(crate) mod memory_index;
mod sectors;
pub(crate) mod time;
