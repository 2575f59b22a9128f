//! The queue in a directory: a segmented log, a cursor for each target, and an index that can be rebuilt.
//!
//! # Constraints
//!
//! - The log is the truth. Everything durable is a frame in it, and the index is derived from it.
//! - A request is acknowledged after one write and one sync, shared by all requests of a group.
//! - A delivery that was never tried has no row: a target is a cursor plus exceptions.
//! - The same frames give the same state: live, after a crash, and when the index is rebuilt.
//! - The index never knows more than what is durable in the log.
//! - Every queue, window and buffer has a limit (`limits.rs`, `settings.rs`).
//!
//! # Files on disk
//!
//! | path | what |
//! |---|---|
//! | `log/seg-<base>.log` | a segment: a header, a checkpoint, frames, and a summary at its end |
//! | `log/spare.tmp` | the next segment, written in advance or recycled |
//! | `log/reserve.tmp` | space for what must be written when the disk is full |
//! | `index/` | rows of retries, dead letters, receipts and repetition keys |
//! | `lock` | locked by the process that has the store open |
//!
//! # Operations
//!
//! - **Append** encodes the request on the caller's thread, looks its repetition keys up, and hands it to
//!   the thread that writes the log (`commit`). It returns once its frame is synced.
//! - **Claim** gives leases on deliveries from memory. What is not there is read from the log or the index
//!   on a blocking thread (`deliveries`).
//! - **Settle** writes outcomes without a sync of its own: they are durable with the next request, or
//!   within a second.
//! - **Open** reads the end of the log from where the index stops, or from a checkpoint (`recovery`).
//! - **Retention** removes the oldest segment when it is too old or the log too large, and first relocates
//!   what is still needed (`retention`).
//!
//! Four threads run while a store is open: one writes the log, one keeps the index, one watches the free
//! space, one removes old segments. A fifth prepares the next segment when needed. All of them sleep while
//! there is nothing to do.
//!
//! # Rooms
//!
//! A room imports only from the rooms above it, and from `limits`, `error` and `settings`. A test reads this
//! table.
//!
//! | room | what is in it |
//! |---|---|
//! | `platform` | disk, clocks, lock file, locks |
//! | `format` | frames, records, segment headers, event numbers, repetition keys: bytes, no I/O |
//! | `space` | free space, and whether requests are accepted |
//! | `log` | writing, scanning and reading segments; the newest requests in memory |
//! | `state` | the state of every target, and its counts |
//! | `index` | the rows, their interface and the engine behind it |
//! | `target` | one target in memory: cursor, leases, what is settled ahead of the cursor |
//! | `core` | what callers and threads share; the commands for the thread that writes the log |
//! | `indexing` | the thread that keeps the index, and rebuilds it |
//! | `recovery` | opening a store |
//! | `commit` | the thread that writes the log |
//! | `deliveries` | claim, expire, find, explain, hasten, replay, drop |
//! | `retention` | removing old segments |
//! | `tools` | check, repair, dump and backup of a store that is not open |
//! | `engine` | the type that callers use |

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
pub use limits::{SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, TARGETS_MAX};
pub use platform::caught::is_panic_caught;
pub use settings::{
    RETENTION_AGE_MS_DEFAULT, RETENTION_BYTES_DEFAULT, RETENTION_SEGMENTS_MIN,
    SEGMENT_BYTES_DEFAULT, Settings,
};
