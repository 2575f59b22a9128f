//! What is sent over the admin socket, as JSON. The daemon writes these types and the command line
//! reads them.
//!
//! Words that a program decides by are enums, in `snake_case`. A reader that is older than the daemon
//! fails on a word that it does not know, instead of guessing.

mod event;
mod found;
mod operate;
mod refusal;
mod status;
mod tail;

pub use event::{AttemptStory, EventStory, Explained, FateKind, TargetStory};
pub use found::{EventLine, EventPage, Unread};
pub use operate::{Count, DeadPage, Letter, Move, Pause, Resume, Retry, Selection};
pub use refusal::{ErrorBody, Refusal};
pub use status::{Condition, InForce, Reload, SourceStatus, Status, TargetStatus};
pub use tail::TailLine;
