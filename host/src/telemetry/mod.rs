//! What the daemon tells about itself while it works: the feed of what happens to requests and deliveries.
//!
//! Nobody listening costs one atomic read. A listener that is slower than [`FEED_NOTES_MAX`] notes
//! misses the oldest; nothing waits for it. [`History`] is kept for those who ask later. [`Rarely`] bounds the log lines that a stranger can cause.

mod alarms;
mod feed;
mod history;
mod rarely;

pub use alarms::{ALARM_PERIOD, ALARM_SUBJECTS_MAX, Alarm, AlarmKind, Alarms, REFUSALS_MIN};
pub use feed::{FEED_NOTES_MAX, Feed, Note, StoredNote};
pub use history::{ATTEMPTS_MAX, Attempt, History, NO_SOURCE, REFUSALS_MAX, Refusal};
pub use rarely::Rarely;
