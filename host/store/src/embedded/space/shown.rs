//! Which of the times that requests are refused get a line of the log.

use std::time::{Duration, Instant};

use crate::embedded::platform::repeated::Repeated;

/// A reason that did not come for so long is new.
const QUIET: Duration = Duration::from_secs(600);

/// A reason that comes and goes, as on a disk of which every other write fails.
#[derive(Clone, Copy, Default)]
pub(crate) struct Shown {
    times: Repeated,
    last: Option<Instant>,
    /// The last time has its line, so its end gets one too.
    pub has_line: bool,
}

impl Shown {
    /// How often it came, if that is worth a line. After a quiet time it is a first one.
    pub(crate) fn again(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_none_or(|last| now.duration_since(last) > QUIET) {
            self.times.end();
        }
        self.last = Some(now);
        let times = self.times.again();
        self.has_line = times.is_some();
        times
    }
}
