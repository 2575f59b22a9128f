//! The queue in a directory: a segmented log, a cursor a target, and an index that can be rebuilt.

mod commit;
mod core;
mod deliveries;
mod engine;
mod error;
mod format;
mod index;
mod indexing;
mod limits;
mod log;
mod platform;
mod recovery;
mod retention;
mod settings;
#[cfg(test)]
mod simulation;
mod space;
mod state;
mod target;
#[cfg(test)]
mod tests;
pub mod tools;

pub use engine::Embedded;
pub use error::OpenError;
pub use settings::{
    RETENTION_AGE_MS_DEFAULT, RETENTION_BYTES_DEFAULT, RETENTION_SEGMENTS_MIN,
    SEGMENT_BYTES_DEFAULT, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, Settings,
};
