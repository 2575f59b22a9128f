//! What the daemon reports about itself while it works: a live feed for `tail`, a short history for
//! `status`, `explain` and `refused`, and alarms that become events of the daemon's own.
//!
//! Without a listener a note costs one atomic read. A listener that lags more than [`FEED_NOTES_MAX`](feed::FEED_NOTES_MAX)
//! notes behind loses the oldest; nothing waits for it. [`LogThrottle`] bounds log lines, and [`LOG_QUEUE`] holds
//! them until they are written.

mod alarms;
mod condition;
mod feed;
mod history;
mod log_queue;
mod log_throttle;
mod overload;

pub use alarms::{Alarm, AlarmKind, Alarms};
pub use condition::{Act, Condition};
pub use feed::{Feed, Note, StoredNote};
pub use history::{Attempt, History, NO_SOURCE, REFUSALS_MAX, Refusal, TargetHistory};
pub use log_queue::{LOG_QUEUE, PLUGIN_FIELDS};
pub use log_throttle::LogThrottle;
pub use overload::{Overload, Shortage};
