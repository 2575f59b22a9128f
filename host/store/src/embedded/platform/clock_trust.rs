//! Whether the wall clock is trusted, before anything is given up for its age.
//!
//! A clock that jumps by years must not make everything too old. It is trusted while it agrees with the
//! steady clock. After a difference of more than an hour, or when it starts more than an hour from the
//! last record of the log, it has to agree with the steady clock for an hour first.
//!
//! As long as it matters it is known when the clock was set and how far: what was received before is as old as the
//! steady clock says, see [`Wall::ahead_ms`]. Between the last record and a start no daemon measured the time: for what
//! must not be forgotten early none of it passed, see [`Wall::key_sets`], and for `retention.age` all of it.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::clock::{ClockSet, KeySets, Now, OneSet};
use super::clock_merge::{SETS_MAX, cheapest};
use super::repeated::Repeated;

const APART_MS_MAX: u64 = 3_600_000;

const MINUTE_MS: i64 = 60_000;

/// A time without a daemon that is worth a new segment: it may be a clock that was set by a day or more.
const SAID_MS_MIN: i64 = 12 * 60 * MINUTE_MS;

const AGREES: Duration = Duration::from_millis(APART_MS_MAX);

#[derive(Debug)]
pub(crate) struct Wall {
    /// Both clocks when they were last compared.
    base: Now,
    /// When the clock was set, or started far from the log: the newest last.
    sets: VecDeque<Set>,
    /// Of the next one.
    number: u64,
    /// Times that it was set before it went right for an hour.
    again: Repeated,
}

#[derive(Clone, Copy, Debug)]
struct Set {
    /// When, if no time passed without a daemon since.
    at: Instant,
    /// When, if all of that time passed.
    at_first: Instant,
    number: u64,
    /// A segment says it.
    is_said: bool,
    set: OneSet,
}

impl Wall {
    /// `last_ms`: when the last record of the log was made, by the wall clock. `known`: when it was set before, oldest
    /// first. `epoch`: of this process.
    pub(crate) fn new(now: Now, last_ms: u64, known: &[OneSet], epoch: u32) -> Self {
        let wall_ms = now.wall.as_millis();
        let far = wall_ms.abs_diff(last_ms) > APART_MS_MAX;
        let ahead_ms = apart(wall_ms, last_ms);
        let set = OneSet {
            at_ms: wall_ms,
            ahead_ms,
            unsure: ahead_ms > 0,
            spread_min: 0,
            rows_to: Some(epoch.saturating_sub(1)),
        };
        let mut sets = VecDeque::new();
        if far {
            let (at, number) = (now.steady, 0);
            sets.push_front(Set { at, at_first: at, number, is_said: false, set });
        }
        // What the clock would show without what was set later: at least, and with the time without a daemon.
        let (mut least_ms, mut most_ms) = (wall_ms, wall_ms);
        for known in known.iter().rev() {
            if let Some(Set { set: later, .. }) = sets.front() {
                least_ms = least_ms.saturating_sub_signed(later.ahead_ms);
                let certain_ms = if later.unsure { 0 } else { later.ahead_ms };
                most_ms = most_ms.saturating_sub_signed(certain_ms);
            }
            let since = |ms: u64| {
                let passed = Duration::from_millis(ms.saturating_sub(known.at_ms));
                now.steady.checked_sub(passed).unwrap_or(now.steady)
            };
            let (at, at_first) = (since(least_ms), since(most_ms));
            sets.push_front(Set { at, at_first, number: 0, is_said: true, set: *known });
        }
        let mut wall = Self { base: now, sets, number: 1, again: Repeated::default() };
        wall.merge();
        wall
    }

    /// When the clock was set, as far as that matters for something of that age; and a number for [`Self::said`].
    pub(crate) fn known(&mut self, age: Duration, now: Now) -> (Vec<OneSet>, u64) {
        self.compare(now);
        (self.that_matter(age, now).map(|set| set.set).collect(), self.number)
    }

    /// A segment says all that was known at that number.
    pub(crate) fn said(&mut self, number: u64) {
        self.sets.iter_mut().for_each(|set| set.is_said |= set.number < number);
    }

    /// Whether a new segment should say something. A short time without a daemon is not worth one.
    pub(crate) fn has_news(&mut self, age: Duration, now: Now) -> bool {
        self.compare(now);
        let is_worth = |set: &OneSet| !set.unsure || set.ahead_ms >= SAID_MS_MIN;
        self.that_matter(age, now).any(|set| !set.is_said && is_worth(&set.set))
    }

    /// When the clock was set, for keys of that age.
    pub(crate) fn key_sets(&mut self, age: Duration, now: Now) -> KeySets {
        self.compare(now);
        KeySets(self.that_matter(age, now).map(|set| set.set).collect())
    }

    fn that_matter(&self, age: Duration, now: Now) -> impl Iterator<Item = &Set> {
        self.sets.iter().skip_while(move |set| !matters(set.at, age, now))
    }

    /// Whether it is trusted to compute ages.
    pub(crate) fn is_trusted(&mut self, now: Now) -> bool {
        self.is_trusted_over(Duration::ZERO, now)
    }

    /// Whether everything up to that age has its age from this clock alone.
    pub(crate) fn is_trusted_over(&mut self, age: Duration, now: Now) -> bool {
        self.compare(now);
        self.sets.back().is_none_or(|set| !matters(set.at, age, now))
    }

    /// How far the clock is certainly ahead of the time that passed while something of that age was kept.
    pub(crate) fn ahead_ms(&mut self, age: Duration, now: Now) -> i64 {
        self.compare(now);
        let sets = self.sets.iter().filter(|set| matters(set.at_first, age, now));
        let certain = sets.filter(|set| !set.set.unsure);
        certain.fold(0, |sum, set| sum.saturating_add(set.set.ahead_ms))
    }

    fn compare(&mut self, now: Now) {
        let expected = now.expected(self.base);
        if !is_set(self.base, now) {
            return;
        }
        if self.sets.back().is_none_or(|set| !matters(set.at, AGREES, now)) {
            self.again.end();
        }
        if let Some(times) = self.again.again() {
            tracing::warn!(expected = %expected, found = %now.wall, times,
                "the clock was set by more than an hour: nothing is given up for its age until it has \
                 gone right for an hour");
        }
        let at_ms = now.wall.as_millis();
        let ahead_ms = apart(at_ms, expected.as_millis());
        self.base = now;
        let set = OneSet { at_ms, ahead_ms, ..OneSet::default() };
        let (at, number) = (now.steady, self.number);
        self.sets.push_back(Set { at, at_first: at, number, is_said: false, set });
        self.number += 1;
        self.merge();
    }

    fn merge(&mut self) {
        while self.sets.len() > SETS_MAX {
            let sets: Vec<OneSet> = self.sets.iter().map(|set| set.set).collect();
            let Some((at, one)) = cheapest(&sets) else { return };
            self.sets.remove(at);
            if let Some(second) = self.sets.get_mut(at) {
                second.set = one;
            }
        }
    }
}

/// Whether something of that age may have been received before then.
fn matters(at: Instant, age: Duration, now: Now) -> bool {
    now.steady.saturating_duration_since(at) < age.max(AGREES)
}

/// How far the clock was set in all.
pub(crate) fn in_all(sets: &[OneSet]) -> ClockSet {
    let Some(last) = sets.last() else { return ClockSet::default() };
    let ahead_ms = sets.iter().fold(0_i64, |sum, set| sum.saturating_add(set.ahead_ms));
    let most = if ahead_ms < 0 { i32::MIN } else { i32::MAX };
    let ahead_min = i32::try_from(ahead_ms / MINUTE_MS).unwrap_or(most);
    ClockSet { at_ms: last.at_ms.max(1), ahead_min, unsure: sets.iter().all(|set| set.unsure) }
}

/// What a segment of an earlier program says, which was made in that epoch. It is taken for one time, as that program took
/// it: if every key were a repetition as long as it matters, equal events would be lost.
pub(crate) fn from_all(set: ClockSet, epoch: u32) -> Option<OneSet> {
    (set.at_ms > 0).then(|| OneSet {
        at_ms: set.at_ms,
        ahead_ms: i64::from(set.ahead_min) * MINUTE_MS,
        unsure: set.unsure,
        spread_min: 0,
        rows_to: Some(if set.unsure { epoch.saturating_sub(1) } else { epoch }),
    })
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
    use crate::embedded::platform::clock::ClockSets;
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
        let mut wall = Wall::new(at(start, 0), start - HOUR_MS, &[], 1);
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
        assert!(Wall::new(now(0), YEAR_MS, &[], 1).is_trusted(now(1)));
        let mut wall = Wall::new(now(0), YEAR_MS - HOUR_MS - 1, &[], 1);
        assert!(!wall.is_trusted(now(1)) && wall.is_trusted(now(HOUR_MS)));
    }

    /// A clock that is that far ahead when so much passed.
    fn at(steady: Instant, ahead_ms: i64, passed_ms: u64) -> Now {
        let wall_ms = (10 * YEAR_MS + passed_ms).saturating_add_signed(ahead_ms);
        Now {
            wall: Timestamp::from_millis(wall_ms),
            steady: steady + Duration::from_millis(passed_ms),
            seen: Timestamp::default(),
        }
    }

    const DAY_MS: i64 = 24 * HOUR_MS.cast_signed();

    fn hours(n: u64) -> Duration {
        Duration::from_millis(n * HOUR_MS)
    }

    #[test]
    fn it_is_known_how_far_the_clock_was_set_as_long_as_that_matters() {
        let steady = Instant::now();
        let at = |ahead_ms: i64, passed_ms: u64| at(steady, ahead_ms, passed_ms);
        let mut wall = Wall::new(at(0, 0), 10 * YEAR_MS - 48 * HOUR_MS, &[], 2);
        let year = YEAR_MS.cast_signed();
        // For keys, and for what is removed.
        let mut both = |age, now: Now| {
            let earliest_ms = wall.key_sets(age, now).earliest_ms(now.wall.as_millis());
            (apart(now.wall.as_millis(), earliest_ms), wall.ahead_ms(age, now))
        };
        assert_eq!(both(hours(24), at(0, 1)), (2 * DAY_MS, 0));
        assert_eq!(both(hours(100), at(year, 10 * HOUR_MS)), (year + 2 * DAY_MS, year));
        assert_eq!(both(hours(24), at(year, 33 * HOUR_MS)), (year, year));
        assert_eq!(both(hours(24), at(0, 50 * HOUR_MS)), (0, -year), "set back");
        assert_eq!(both(hours(48), at(0, 51 * HOUR_MS)), (0, 0), "there and back");
        for n in 0..300 {
            let ahead_ms = if n % 2 == 0 { DAY_MS } else { 0 };
            both(hours(1), at(ahead_ms, (52 + n) * HOUR_MS));
        }
        // It showed the same few times, so nothing is known less well: the stop may be a clock that was set.
        assert_eq!(both(hours(1_000), at(0, 352 * HOUR_MS)), (2 * DAY_MS, 0));
        assert_eq!(wall.sets.len(), SETS_MAX);
        assert!(wall.sets.iter().all(|set| set.set.spread_min == 0), "it showed two times");
    }

    /// A machine that is stopped every night: what counts is how long it ran, however many nights there were.
    #[test]
    fn many_stops_matter_no_longer_than_one() {
        let steady = Instant::now();
        let week = hours(7 * 24);
        for stopped_h in [8, 12, 16] {
            let (mut known, mut passed_ms, mut most) = (Vec::new(), 0, 0);
            for night in 0..100 {
                let last_ms = 10 * YEAR_MS + passed_ms;
                passed_ms += stopped_h * HOUR_MS;
                let now = at(steady, 0, passed_ms);
                let mut wall = Wall::new(now, last_ms, &known, night + 2);
                known = wall.known(week, now).0;
                passed_ms += (24 - stopped_h) * HOUR_MS;
                let now = at(steady, 0, passed_ms);
                let earliest_ms = wall.key_sets(week, now).earliest_ms(now.wall.as_millis());
                most = most.max(apart(now.wall.as_millis(), earliest_ms));
                assert_eq!(wall.ahead_ms(hours(30 * 24), now), 0, "it makes nothing younger");
            }
            // In the days whose hours of work are a week.
            let days = 7 * 24 / (24 - stopped_h);
            let longest = ((days + 1) * stopped_h * HOUR_MS).cast_signed();
            assert!((longest - 2 * DAY_MS..=longest).contains(&most), "{stopped_h}: {most}");
        }
    }

    /// A pause of the machine, or a clock that was set, is certain; a stop before it stays what it was.
    #[test]
    fn a_time_without_a_daemon_stays_unsure_after_the_clock_was_set() {
        let steady = Instant::now();
        let mut wall = Wall::new(at(steady, 0, 0), 10 * YEAR_MS - 24 * HOUR_MS, &[], 2);
        let paused = at(steady, DAY_MS * 5, 2 * HOUR_MS);
        assert!(wall.has_news(hours(24), paused));
        let (known, number) = wall.known(hours(24), paused);
        wall.said(number);
        assert!(!wall.has_news(hours(24), paused));
        let is = |set: &OneSet| (set.ahead_ms, set.unsure, set.rows_to);
        let both = [(DAY_MS, true, Some(1)), (5 * DAY_MS, false, None)];
        assert_eq!(known.iter().map(is).collect::<Vec<_>>(), both);
        let last_ms = paused.wall.as_millis();
        let started = at(steady, DAY_MS * 5, 2 * HOUR_MS + 60_000);
        let mut wall = Wall::new(started, last_ms, &known, 3);
        assert_eq!(wall.ahead_ms(hours(24), started), 5 * DAY_MS);
        let earliest_ms = wall.key_sets(hours(24), started).earliest_ms(last_ms);
        assert_eq!(apart(last_ms, earliest_ms), 6 * DAY_MS);
    }

    /// A time between the last record and a start neither shifts what was set before it nor ends it early.
    #[test]
    fn a_stop_does_not_move_the_times_at_which_the_clock_was_set_before() {
        let steady = Instant::now();
        let set = OneSet {
            at_ms: 10 * YEAR_MS,
            ahead_ms: 2 * DAY_MS,
            rows_to: Some(1),
            ..OneSet::default()
        };
        let now = at(steady, 0, 5 * 24 * HOUR_MS + 1);
        let mut wall = Wall::new(now, 10 * YEAR_MS + 1, &[set], 2);
        let sets = wall.key_sets(hours(24), now);
        assert_eq!(sets.0.len(), 2, "only a millisecond may have passed");
        assert_eq!(sets.0[0].at_ms, 10 * YEAR_MS);
        // For what is removed it is as long ago as it may be.
        assert_eq!(wall.ahead_ms(hours(5 * 24), now), 0);
        assert_eq!(wall.ahead_ms(hours(6 * 24), now), 2 * DAY_MS);
    }

    /// What is open when the clock is set: in the process that saw it, and in the next ones.
    #[test]
    fn what_waits_follows_the_time_that_passed_over_any_starts() {
        let of =
            |rows_to, ahead_ms| OneSet { ahead_ms, rows_to: Some(rows_to), ..OneSet::default() };
        let now = Now { seen: Timestamp::from_millis(1_000), ..at(Instant::now(), 0, 0) };
        for (sets, expected) in [
            // A stop before 2, and a clock that was set within it.
            (vec![of(1, 10), of(2, 100)], [110, 100, 0]),
            // Behind at the start of 2, and right later.
            (vec![of(1, -50), of(2, 50)], [0, 0, 0]),
            (vec![of(1, -50), of(2, 0), of(3, 50)], [0, 0, 0]),
            // There and back within one process, and over a start.
            (vec![of(1, 50), of(1, -50)], [0, 0, 0]),
            (vec![of(1, 50), of(2, -50), of(3, 70)], [70, 20, 20]),
        ] {
            let seen = ClockSets::new(&sets);
            let due = |epoch| seen.due((epoch, 500), now).as_millis() - 500;
            assert_eq!([1, 2, 3].map(due), expected, "{sets:?}");
        }
    }
}
