//! What the daemon reports about itself while it works: a live feed for `tail`, a short history for
//! `status`, `explain` and `refused`, and alarms that become events of the daemon's own.
//!
//! Without a listener a note costs one atomic read. A listener that lags more than [`FEED_NOTES_MAX`]
//! notes behind loses the oldest; nothing waits for it. [`LogThrottle`] bounds log lines.

mod alarms;
mod feed;
mod history;
mod log_throttle;

pub use alarms::{ALARM_PERIOD, ALARM_SUBJECTS_MAX, Alarm, AlarmKind, Alarms, REFUSALS_MIN};
pub use feed::{FEED_NOTES_MAX, Feed, Note, StoredNote};
pub use history::{ATTEMPTS_MAX, Attempt, History, NO_SOURCE, REFUSALS_MAX, Refusal};
pub use log_throttle::LogThrottle;
