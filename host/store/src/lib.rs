//! The durable queue between receiving and delivering.
//!
//! [`Queue`] is the contract that every engine keeps; its unit is *claim and settle per target*. It
//! mentions no file and no cursor, so that a broker can stand behind it as well. [`embedded`] is the
//! engine that needs nothing but a directory.
//!
//! Promises, in this order: an [`append`](Queue::append) that answered is on disk; a delivery is
//! forgotten only after it was settled as delivered or dead; a crash can only cause redelivery.

#[cfg(any(test, feature = "test-util"))]
pub mod contract;
pub mod embedded;
mod error;
mod queue;
mod search;

pub use error::{AppendError, StoreError};
pub use queue::{
    BoxFuture, DIGEST_EVENTS_MAX, DeadLetter, Depth, Durable, Full, Hold, HoldKind, NewRequest,
    Outcome, PROGRESS_STORED_BYTES_MAX, Queue, REPEAT_WINDOW_DEFAULT, REPEAT_WINDOW_MAX,
    REQUEST_EVENTS_MAX, Rebuilding, Settlement, Window,
};
pub use search::{
    EventFate, Fate, FoundEvent, FoundFates, Later, Retries, Search, SearchPage, Wanted,
};
