//! Whether the wall clock is trusted, before anything is given up for its age.
//!
//! A clock that jumps by years must not make everything too old. It is trusted while it agrees with the
//! steady clock. After a difference of more than an hour, or when it starts more than an hour from the
//! last record of the log, it has to agree with the steady clock for an hour first.
//!
//! For a longer time it is known how far the clock was set: what was received before is as old as the steady
//! clock says, see [`Wall::ahead_ms`].

use std::time::Duration;

use tokio::time::Instant;

use super::clock::Now;

const APART_MS_MAX: u64 = 3_600_000;

const AGREES: Duration = Duration::from_millis(APART_MS_MAX);

#[derive(Debug)]
pub(crate) struct Wall {
    /// Both clocks when they were last compared.
    base: Now,
    /// When it was last set, or started far from the log.
    set: Option<Instant>,
    /// How far it is ahead of the time that passed, since it was set.
    ahead_ms: i64,
    /// How much of that may be time without a daemon: from the last record to the start.
    unsure_ms: i64,
}

impl Wall {
    /// `last_ms`: when the last record of the log was made; zero without one.
    pub(crate) fn new(now: Now, last_ms: u64) -> Self {
        let far = last_ms > 0 && now.wall.as_millis().abs_diff(last_ms) > APART_MS_MAX;
        let ahead_ms = if far { apart(now.wall.as_millis(), last_ms) } else { 0 };
        let unsure_ms = ahead_ms.max(0);
        Self { base: now, set: far.then_some(now.steady), ahead_ms, unsure_ms }
    }

    /// Whether it is trusted to compute ages.
    pub(crate) fn is_trusted(&mut self, now: Now) -> bool {
        self.is_trusted_over(Duration::ZERO, now)
    }

    /// Whether everything up to that age has its age from this clock alone.
    pub(crate) fn is_trusted_over(&mut self, age: Duration, now: Now) -> bool {
        self.compare(now);
        self.set.is_none_or(|set| now.steady.saturating_duration_since(set) >= age.max(AGREES))
    }

    /// How far the clock is ahead of the time that passed while something of that age was kept: as far as that
    /// is certain, and at most.
    pub(crate) fn ahead_ms(&mut self, age: Duration, now: Now) -> (i64, i64) {
        if self.is_trusted_over(age, now) {
            (self.ahead_ms, self.unsure_ms) = (0, 0);
        }
        (self.ahead_ms.saturating_sub(self.unsure_ms), self.ahead_ms)
    }

    fn compare(&mut self, now: Now) {
        let expected = now.expected(self.base);
        if is_set(self.base, now) {
            tracing::warn!(expected = %expected, found = %now.wall,
                "the clock was set by more than an hour: nothing is given up for its age until it has \
                 gone right for an hour");
            let ahead_ms = apart(now.wall.as_millis(), expected.as_millis());
            let ahead_ms = self.ahead_ms.saturating_add(ahead_ms);
            *self = Self { base: now, set: Some(now.steady), ahead_ms, ..*self };
        }
    }
}

/// Whether the wall clock was set by more than an hour between these moments.
pub(crate) fn is_set(before: Now, now: Now) -> bool {
    let expected = now.expected(before);
    now.wall.as_millis().abs_diff(expected.as_millis()) > APART_MS_MAX
}

const fn apart(found_ms: u64, expected_ms: u64) -> i64 {
    found_ms.cast_signed().saturating_sub(expected_ms.cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dispatcher_model::Timestamp;

    const HOUR_MS: u64 = 3_600_000;
    const YEAR_MS: u64 = 365 * 24 * HOUR_MS;

    #[test]
    fn a_clock_that_jumped_is_believed_after_an_hour_without_another_jump() {
        let steady = Instant::now();
        let at = |wall_ms: u64, passed_ms: u64| Now {
            wall: Timestamp::from_millis(wall_ms),
            steady: steady + Duration::from_millis(passed_ms),
            seen: Timestamp::default(),
        };
        let start = 10 * YEAR_MS;
        let mut wall = Wall::new(at(start, 0), start - HOUR_MS);
        for (jumped_ms, passed_ms, trusted) in [
            (0, 5, true),
            (0, 3 * HOUR_MS, true),
            (HOUR_MS, 4 * HOUR_MS, true),
            (YEAR_MS, 4 * HOUR_MS, false),
            (YEAR_MS, 5 * HOUR_MS - 1, false),
            (YEAR_MS, 5 * HOUR_MS, true),
            (0, 5 * HOUR_MS, false),
            (YEAR_MS, 6 * HOUR_MS, false),
            (YEAR_MS, 7 * HOUR_MS, true),
        ] {
            let now = at(start + jumped_ms + passed_ms, passed_ms);
            assert_eq!(wall.is_trusted(now), trusted, "{jumped_ms} {passed_ms}");
        }
    }

    #[test]
    fn a_start_far_from_the_last_record_waits_an_hour_unless_there_is_none() {
        let steady = Instant::now();
        let now = |passed_ms| Now {
            wall: Timestamp::from_millis(YEAR_MS + passed_ms),
            steady: steady + Duration::from_millis(passed_ms),
            seen: Timestamp::default(),
        };
        assert!(Wall::new(now(0), 0).is_trusted(now(1)));
        let mut wall = Wall::new(now(0), YEAR_MS - HOUR_MS - 1);
        assert!(!wall.is_trusted(now(1)) && wall.is_trusted(now(HOUR_MS)));
    }
}
