//! Bounds the log lines that a sender or a plugin can cause.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets a bounded number of lines through in each window of time and counts the others.
#[derive(Debug)]
pub struct LogThrottle {
    lines_max: u32,
    window: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When the window began; `None` before the first line.
    began: Option<Instant>,
    lines: u32,
    skipped: u64,
}

impl LogThrottle {
    /// At most `lines_max` lines in each `window`.
    #[must_use]
    pub const fn new(lines_max: u32, window: Duration) -> Self {
        let state = State { began: None, lines: 0, skipped: 0 };
        Self { lines_max, window, state: Mutex::new(state) }
    }

    /// Whether a line may be written now; if so, how many were skipped since the last one.
    pub fn admit(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.began.is_none_or(|began| now.saturating_duration_since(began) >= self.window) {
            state.began = Some(now);
            state.lines = 0;
        }
        if state.lines == self.lines_max {
            state.skipped += 1;
            return None;
        }
        state.lines += 1;
        Some(std::mem::take(&mut state.skipped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admits_the_lines_of_a_window_and_counts_the_rest() {
        let throttle = LogThrottle::new(2, Duration::from_secs(10));
        let start = Instant::now();
        let at = |seconds| throttle.admit(start + Duration::from_secs(seconds));
        assert_eq!([at(0), at(1), at(2), at(9)], [Some(0), Some(0), None, None]);
        assert_eq!([at(10), at(11), at(12)], [Some(2), Some(0), None]);
        assert_eq!([at(100), at(100)], [Some(1), Some(0)]);
    }
}
