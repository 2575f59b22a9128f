//! Whether the wall clock is trusted, before anything is given up for its age.
//!
//! A clock that jumps by years must not make everything too old. It is trusted while it agrees with the
//! steady clock. After a difference of more than an hour, or when it starts more than an hour from the
//! last record of the log, it has to agree with the steady clock for an hour first.
//!
//! As long as it matters it is known how far the clock was set: what was received before is as old as the steady
//! clock says, see [`Wall::ahead_ms`]. Between the last record and a start no daemon measured the time: for what must not
//! be forgotten early none of it passed, see [`Wall::key_sets`], and for `retention.age` all of it.

use std::collections::VecDeque;
use std::time::Duration;

use dispatcher_model::Timestamp;
use tokio::time::Instant;

use super::clock::{ClockSet, KEY_SETS, KeySets, Now};
use crate::embedded::limits::millis;

const APART_MS_MAX: u64 = 3_600_000;

const MINUTE_MS: i64 = 60_000;

/// A time without a daemon that a segment says: it may be a clock that was set by a day or more.
const SAID_MS_MIN: i64 = 12 * 60 * MINUTE_MS;

const AGREES: Duration = Duration::from_millis(APART_MS_MAX);

/// Most times that it is known how far the clock was set; of earlier ones, how far in all.
const SETS_MAX: usize = 16;

#[derive(Debug)]
pub(crate) struct Wall {
    /// Both clocks when they were last compared.
    base: Now,
    /// When the clock was set, or started far from the log: the newest last.
    sets: VecDeque<Set>,
    /// How much time may have passed without a daemon before the start, in ms. Less than an hour is taken for passed.
    pub(crate) stopped_ms: u64,
}

#[derive(Clone, Copy, Debug)]
struct Set {
    at: Instant,
    /// How far it is ahead of the time that passed.
    ahead_ms: i64,
    /// How much of that may be time without a daemon: from the last record to the start.
    unsure_ms: i64,
}

impl Wall {
    /// `last_ms`: when the last record of the log was made, by the wall clock. `known`: how far it was set before.
    pub(crate) fn new(now: Now, last_ms: u64, known: ClockSet) -> Self {
        let far = now.wall.as_millis().abs_diff(last_ms) > APART_MS_MAX;
        let ahead_ms = apart(now.wall.as_millis(), last_ms);
        let set = Set { at: now.steady, ahead_ms, unsure_ms: ahead_ms.max(0) };
        let before = (known.at_ms > 0).then(|| {
            let since = now.wall.since(Timestamp::from_millis(known.at_ms));
            // The machine may have been started later.
            let at = now.steady.checked_sub(since).unwrap_or(now.steady);
            let ahead_ms = i64::from(known.ahead_min) * MINUTE_MS;
            let unsure_ms = if known.unsure { ahead_ms.max(0) } else { 0 };
            Set { at, ahead_ms, unsure_ms }
        });
        let stopped_ms = if far { set.unsure_ms.unsigned_abs() } else { 0 };
        let sets = before.into_iter().chain(far.then_some(set)).collect();
        Self { base: now, sets, stopped_ms }
    }

    /// How far the clock was set, as far as that matters for something of that age. A short time without a daemon is not
    /// worth a new segment, which would have to say it.
    pub(crate) fn set(&mut self, age: Duration, now: Now) -> ClockSet {
        let (certain_ms, at_most_ms) = self.ahead_ms(age, now);
        let unsure = certain_ms == 0 && at_most_ms > 0;
        let counts = |set: &&Set| {
            let is_certain = set.ahead_ms != set.unsure_ms;
            set.matters(age, now) && (is_certain || set.unsure_ms >= SAID_MS_MIN)
        };
        let Some(last) = self.sets.iter().rev().find(counts) else { return ClockSet::default() };
        let passed = now.steady.saturating_duration_since(last.at);
        let at_ms = now.wall.as_millis().saturating_sub(millis(passed)).max(1);
        let ahead_min = i32::try_from(at_most_ms / MINUTE_MS);
        let most = if at_most_ms < 0 { i32::MIN } else { i32::MAX };
        ClockSet { at_ms, ahead_min: ahead_min.unwrap_or(most), unsure }
    }

    /// When the clock was set, and how far at most, for keys of that age.
    pub(crate) fn key_sets(&mut self, age: Duration, now: Now) -> KeySets {
        self.compare(now);
        let (mut found, mut later_ms) = (KeySets::default(), 0);
        let matter = self.sets.iter().rev().filter(|set| set.matters(age, now));
        for (i, set) in matter.enumerate() {
            let passed = now.steady.saturating_duration_since(set.at);
            let since_ms = now.wall.as_millis().saturating_sub(millis(passed));
            let place = &mut found.0[i.min(KEY_SETS - 1)];
            // What was received between two that share a place is taken for younger than it is.
            place.0 = place.0.max(since_ms.saturating_sub_signed(later_ms));
            place.1 = place.1.saturating_add(set.ahead_ms);
            later_ms = later_ms.saturating_add(set.ahead_ms);
        }
        found
    }

    /// Whether it is trusted to compute ages.
    pub(crate) fn is_trusted(&mut self, now: Now) -> bool {
        self.is_trusted_over(Duration::ZERO, now)
    }

    /// Whether everything up to that age has its age from this clock alone.
    pub(crate) fn is_trusted_over(&mut self, age: Duration, now: Now) -> bool {
        self.compare(now);
        self.sets.back().is_none_or(|set| !set.matters(age, now))
    }

    /// How far the clock is ahead of the time that passed while something of that age was kept: as far as that
    /// is certain, and at most.
    pub(crate) fn ahead_ms(&mut self, age: Duration, now: Now) -> (i64, i64) {
        self.compare(now);
        let sets = self.sets.iter().filter(|set| set.matters(age, now));
        sets.fold((0, 0), |(certain, at_most): (i64, i64), set| {
            let ahead_ms = set.ahead_ms.saturating_sub(set.unsure_ms);
            (certain.saturating_add(ahead_ms), at_most.saturating_add(set.ahead_ms))
        })
    }

    fn compare(&mut self, now: Now) {
        let expected = now.expected(self.base);
        if !is_set(self.base, now) {
            return;
        }
        tracing::warn!(expected = %expected, found = %now.wall,
            "the clock was set by more than an hour: nothing is given up for its age until it has \
             gone right for an hour");
        let ahead_ms = apart(now.wall.as_millis(), expected.as_millis());
        self.base = now;
        self.sets.push_back(Set { at: now.steady, ahead_ms, unsure_ms: 0 });
        if self.sets.len() > SETS_MAX
            && let Some(first) = self.sets.pop_front()
            && let Some(second) = self.sets.front_mut()
        {
            second.ahead_ms = second.ahead_ms.saturating_add(first.ahead_ms);
            second.unsure_ms = second.unsure_ms.saturating_add(first.unsure_ms);
        }
    }
}

impl Set {
    /// Whether something of that age may have been received before.
    fn matters(&self, age: Duration, now: Now) -> bool {
        now.steady.saturating_duration_since(self.at) < age.max(AGREES)
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
        let mut wall = Wall::new(at(start, 0), start - HOUR_MS, ClockSet::default());
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
    fn a_start_far_from_the_last_record_waits_an_hour() {
        let steady = Instant::now();
        let now = |passed_ms| Now {
            wall: Timestamp::from_millis(YEAR_MS + passed_ms),
            steady: steady + Duration::from_millis(passed_ms),
            seen: Timestamp::default(),
        };
        assert!(Wall::new(now(0), YEAR_MS, ClockSet::default()).is_trusted(now(1)));
        let mut wall = Wall::new(now(0), YEAR_MS - HOUR_MS - 1, ClockSet::default());
        assert!(!wall.is_trusted(now(1)) && wall.is_trusted(now(HOUR_MS)));
    }

    #[test]
    fn it_is_known_how_far_the_clock_was_set_as_long_as_that_matters() {
        let steady = Instant::now();
        let at = |ahead_ms: i64, passed_ms: u64| Now {
            wall: Timestamp::from_millis(
                (10 * YEAR_MS + passed_ms).saturating_add_signed(ahead_ms),
            ),
            steady: steady + Duration::from_millis(passed_ms),
            seen: Timestamp::default(),
        };
        let hours = |n| Duration::from_millis(n * HOUR_MS);
        let mut wall = Wall::new(at(0, 0), 10 * YEAR_MS - 48 * HOUR_MS, ClockSet::default());
        let (day, year) = (24 * HOUR_MS.cast_signed(), YEAR_MS.cast_signed());
        assert_eq!(wall.ahead_ms(hours(24), at(0, 1)), (0, 2 * day));
        assert_eq!(wall.ahead_ms(hours(100), at(year, 10 * HOUR_MS)), (year, year + 2 * day));
        assert_eq!(wall.ahead_ms(hours(24), at(year, 33 * HOUR_MS)), (year, year));
        assert_eq!(wall.ahead_ms(hours(24), at(0, 50 * HOUR_MS)), (-year, -year), "set back");
        assert_eq!(wall.ahead_ms(hours(48), at(0, 51 * HOUR_MS)), (0, 0), "there and back");
        for n in 0..100 {
            let ahead_ms = if n % 2 == 0 { day } else { 0 };
            wall.ahead_ms(hours(1), at(ahead_ms, (52 + n) * HOUR_MS));
        }
        assert_eq!(wall.sets.len(), SETS_MAX);
        assert_eq!(wall.ahead_ms(hours(1_000), at(0, 152 * HOUR_MS)), (0, 2 * day));
    }
}
