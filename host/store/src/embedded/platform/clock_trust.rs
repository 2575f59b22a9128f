//! Whether the wall clock is trusted, before anything is given up for its age.
//!
//! A clock that jumps by years must not make everything too old. It is trusted while it agrees with the
//! steady clock. After a difference of more than an hour, or when it starts more than an hour from the
//! last record of the log, it has to agree with the steady clock for an hour first.

use std::time::Duration;

use tokio::time::Instant;

use super::clock::Now;

const APART_MS_MAX: u64 = 3_600_000;

const AGREES: Duration = Duration::from_millis(APART_MS_MAX);

#[derive(Debug)]
pub(crate) struct Wall {
    /// Both clocks when they were last compared.
    base: Now,
    /// Trusted from here on.
    from: Option<Instant>,
}

impl Wall {
    /// `last_ms`: when the last record of the log was made; zero without one.
    pub(crate) fn new(now: Now, last_ms: u64) -> Self {
        let far = last_ms > 0 && now.wall.as_millis().abs_diff(last_ms) > APART_MS_MAX;
        Self { base: now, from: far.then(|| now.steady + AGREES) }
    }

    /// Whether it is trusted to compute ages.
    pub(crate) fn is_trusted(&mut self, now: Now) -> bool {
        let passed = now.steady.saturating_duration_since(self.base.steady);
        let expected = self.base.wall.plus(passed);
        if now.wall.as_millis().abs_diff(expected.as_millis()) > APART_MS_MAX {
            tracing::warn!(expected = %expected, found = %now.wall,
                "the clock was set by more than an hour: nothing is given up for its age until it has \
                 gone right for an hour");
            *self = Self { base: now, from: Some(now.steady + AGREES) };
        }
        self.from.is_none_or(|from| now.steady >= from)
    }
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
        };
        assert!(Wall::new(now(0), 0).is_trusted(now(1)));
        let mut wall = Wall::new(now(0), YEAR_MS - HOUR_MS - 1);
        assert!(!wall.is_trusted(now(1)) && wall.is_trusted(now(HOUR_MS)));
    }
}
