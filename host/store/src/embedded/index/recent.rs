//! The recent repetition keys: those that the index may not know yet.
//!
//! The index is asked where a request is received, at once by many tasks; it lags behind the log.
//! The committer checks what came in between against two generations of recent keys. A generation is
//! dropped only when the index has all of it, and the count of dropped ones shows whether an answer of
//! the index is too old to be used, however long a request waited.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dispatcher_model::RepetitionKey;
use tokio::time::Instant;

use super::rows::Seen;
use crate::embedded::platform::clock::KeySets;

/// A generation is closed after this time …
const GENERATION: Duration = Duration::from_secs(1);

/// … or with this many keys.
const GENERATION_KEYS: usize = 32_768;

/// Without an index a generation takes this many, some 13 MB; then the oldest keys are forgotten.
const GENERATION_KEYS_MAX: usize = 131_072;

/// For a request for which the index was not asked.
pub(crate) const NEVER_ASKED: u64 = 0;

/// The time within which an event with the same key is a repetition.
#[derive(Clone, Debug)]
pub(crate) struct KeyWindow {
    /// When the later event was received.
    pub now_ms: u64,
    /// When the clock was set since the earlier one was stored; usually it was not.
    pub sets: Option<Arc<KeySets>>,
    pub window_ms: u64,
}

impl KeyWindow {
    /// When the window begins, by the clock that showed the earliest time. Before that nothing has to be looked up.
    pub(crate) fn begins_ms(&self) -> u64 {
        let now_ms = self.sets.as_ref().map_or(self.now_ms, |sets| sets.earliest_ms(self.now_ms));
        now_ms.saturating_sub(self.window_ms)
    }

    /// Whether an event that was received at `received_ms` is repeated. It was received by the clock as it is or as it
    /// was before one of the times at which it was set, and the shortest of these ages counts: a repetition that is
    /// delivered again is worse than one that is recognized for longer.
    pub(crate) fn has(&self, received_ms: u64) -> bool {
        let now = self.now_ms.checked_sub(received_ms);
        let Some(sets) = &self.sets else { return now.is_none_or(|age| age < self.window_ms) };
        let mut shortest = now;
        for (before_ms, set) in sets.before(self.now_ms) {
            let spread_ms = set.spread_ms();
            // Only a clock that was set back showed that time, or a later one, before it was set.
            if spread_ms == 0 && set.ahead_ms > 0 && received_ms >= set.at_ms {
                continue;
            }
            let oldest = before_ms.saturating_add(spread_ms).checked_sub(received_ms);
            let age = oldest.map(|age| age.saturating_sub(spread_ms.saturating_mul(2)));
            shortest = age.map(|age| shortest.map_or(age, |other| other.min(age))).or(shortest);
        }
        shortest.is_none_or(|age| age < self.window_ms)
    }
}

#[derive(Debug)]
struct Generation {
    keys: HashMap<RepetitionKey, Seen>,
    /// The index has all of it when it has read up to here.
    end: u64,
    started: Instant,
}

impl Generation {
    fn new(now: Instant) -> Self {
        Self { keys: HashMap::new(), end: 0, started: now }
    }
}

/// What a key had before it was put in, to undo that.
pub(crate) type Undo = (RepetitionKey, Option<Seen>);

#[derive(Debug)]
pub(crate) struct Recent {
    old: Generation,
    new: Generation,
    /// Generations dropped, and one.
    dropped: u64,
}

impl Recent {
    pub(crate) fn new(now: Instant) -> Self {
        Self { old: Generation::new(now), new: Generation::new(now), dropped: NEVER_ASKED + 1 }
    }

    pub(crate) fn get(&self, key: &RepetitionKey) -> Option<Seen> {
        self.new.keys.get(key).or_else(|| self.old.keys.get(key)).copied()
    }

    /// Whether the index was asked so long ago that a key may have come and gone since.
    pub(crate) const fn missed(&self, asked_at: u64) -> bool {
        asked_at < self.dropped
    }

    pub(crate) fn put(&mut self, key: RepetitionKey, seen: Seen, end: u64) -> Undo {
        let before = self.new.keys.insert(key, seen).or_else(|| self.old.keys.get(&key).copied());
        self.new.end = self.new.end.max(end);
        (key, before)
    }

    pub(crate) fn undo(&mut self, (key, before): Undo) {
        match before {
            Some(seen) => self.new.keys.insert(key, seen),
            None => self.new.keys.remove(&key),
        };
    }

    /// Whatever the index answered before now has to be asked again.
    pub(crate) fn doubt(&mut self) -> u64 {
        self.dropped += 1;
        self.dropped
    }

    /// Starts a new generation when it is time and the index has the oldest; without an index, when there
    /// are too many keys. Returns how many generations were dropped so far.
    pub(crate) fn turn(&mut self, indexed_to: Option<u64>, now: Instant) -> u64 {
        let due = self.new.keys.len() >= GENERATION_KEYS
            || (!self.new.keys.is_empty() && now.duration_since(self.new.started) >= GENERATION);
        let may_go = match indexed_to {
            Some(to) => self.old.end <= to,
            None => self.new.keys.len() >= GENERATION_KEYS_MAX,
        };
        if due && may_go {
            std::mem::swap(&mut self.old, &mut self.new);
            // Reuses the memory: the next generation will have as many keys.
            self.new.keys.clear();
            (self.new.end, self.new.started) = (0, now);
            self.dropped += 1;
        }
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::platform::clock::{ClockSet, Now, OneSet};
    use crate::embedded::platform::clock_merge::{SETS_MAX, cheapest};
    use crate::embedded::platform::clock_trust::{Wall, from_all};
    use dispatcher_model::Timestamp;
    use proptest::prelude::*;

    fn seen(number: u64) -> Seen {
        Seen { number, received_ms: 1_000 }
    }

    #[test]
    fn a_repetition_is_received_within_the_window_of_its_source() {
        let minute = 60_000;
        let has = |now_ms, window_ms| KeyWindow { now_ms, sets: None, window_ms }.has(1_000);
        for window_ms in [minute, 1_440 * minute] {
            assert!(has(1_000 + window_ms - 1, window_ms));
            assert!(!has(1_000 + window_ms, window_ms));
            assert!(has(0, window_ms), "the clock was set back");
        }
    }

    fn window(now_ms: u64, sets: Vec<OneSet>, window_ms: u64) -> KeyWindow {
        KeyWindow { now_ms, sets: Some(Arc::new(KeySets(sets))), window_ms }
    }

    #[test]
    fn a_clock_that_was_set_makes_no_event_new_and_none_a_repetition() {
        let hour: u64 = 3_600_000;
        let window_ms = 24 * hour;
        let start = 50 * 365 * 24 * hour;
        for days in [365, -365, 2, -2] {
            let ahead_ms = days * window_ms.cast_signed();
            let ahead = |passed_ms: u64| start.saturating_add_signed(ahead_ms) + passed_ms;
            // What passed before and since the clock was set.
            for (before, since) in [(0, 1), (hour, hour), (window_ms - 2, 1), (23 * hour, hour)] {
                let set = OneSet { at_ms: ahead(0), ahead_ms, ..OneSet::default() };
                let window = window(ahead(since), vec![set], window_ms);
                let within = before + since < window_ms;
                assert_eq!(window.has(start - before), within, "{ahead_ms} {before} {since}");
                assert!(!within || window.begins_ms() <= start - before);
                assert!(window.has(ahead(0)), "received since it was set");
            }
        }
    }

    /// An earlier program said only how far the clock was set in all.
    #[test]
    fn after_an_update_an_event_is_a_repetition_no_longer_than_the_window_of_its_source() {
        let (minute, hour, day) = (60_000, 3_600_000, 24 * 3_600_000_u64);
        for unsure in [true, false] {
            for ahead_min in [-525_600, -2_880, -120, 120, 2_880, 525_600] {
                let at_ms = 50 * 365 * day;
                let set = from_all(ClockSet { at_ms, ahead_min, unsure }, 7).unwrap();
                let by_ms = set.ahead_ms;
                for since in [minute, 3 * hour, 20 * hour] {
                    let window = window(at_ms + since, vec![set], 10 * minute);
                    for age in [0, minute, 9 * minute, 11 * minute, hour, 2 * hour, 23 * hour] {
                        // By the clock as it was when that was received.
                        let before = if age > since { by_ms } else { 0 };
                        let received_ms = (at_ms + since - age).saturating_add_signed(-before);
                        let said = window.has(received_ms);
                        let what = format!("{ahead_min} {since} {age}");
                        assert!(said || age >= 10 * minute, "{what}");
                        // By the other clock it may seem to be newer.
                        let apart = received_ms.abs_diff(at_ms + since);
                        let other =
                            received_ms.saturating_add_signed(by_ms).abs_diff(at_ms + since);
                        let is_old = apart.min(other) >= 10 * minute && received_ms < at_ms;
                        assert!(!said || !is_old, "{what}");
                    }
                }
            }
        }
    }

    /// The clock was right for ten days, and is set a thousand times within the last hour of them, by less than is noticed
    /// or by more than can be kept one by one.
    #[test]
    fn a_clock_that_is_set_a_thousand_times_an_hour_makes_no_event_new_and_none_a_repetition() {
        let (minute, hour) = (60_000, 3_600_000_u64);
        let (day, year) = (24 * hour, 365 * 24 * hour.cast_signed());
        let by = move |n: i64| n * hour.cast_signed();
        type Ahead = Box<dyn Fn(i64) -> i64>;
        // How far it is ahead after so many times, and how much longer some event may be recognized.
        let ways: [(&str, Ahead, u64); 7] = [
            ("small steps there and back", Box::new(|n| (n % 2) * 5_000), 0),
            ("small steps forward", Box::new(|n| n * 30_000), 0),
            ("small steps back", Box::new(|n| n * -30_000), 10 * hour),
            ("hours there and back", Box::new(move |n| by(n % 2 * 2)), 0),
            ("years back and there", Box::new(move |n| -year * (n % 2)), 0),
            ("hours forward", Box::new(move |n| by(n * 2)), 0),
            ("days around", Box::new(move |n| by(n % 40 * 24)), 0),
        ];
        let (steady, start) = (Instant::now(), 50 * 365 * day);
        for (what, ahead, longer) in ways {
            let at = |ahead_ms: i64, passed_ms: u64| Now {
                wall: Timestamp::from_millis((start + passed_ms).saturating_add_signed(ahead_ms)),
                steady: steady + Duration::from_millis(passed_ms),
                seen: Timestamp::default(),
            };
            let mut wall = Wall::new(at(0, 0), start, &[], 1);
            let mut received: Vec<_> = (0..10 * 24).map(|n| (start + n * hour, n * hour)).collect();
            let mut now = at(0, 0);
            for n in 1..=1_000_u32 {
                let passed_ms = 10 * day - hour + u64::from(n) * 3_600;
                now = at(ahead(n.into()), passed_ms);
                wall.is_trusted(now);
                received.push((now.wall.as_millis(), passed_ms));
            }
            let sets = Arc::new(wall.key_sets(Duration::from_hours(7 * 24), now));
            assert!(sets.0.len() <= SETS_MAX, "{what}");
            let spread_ms = sets.0.iter().map(OneSet::spread_ms).max().unwrap_or_default();
            let window = |window_ms| {
                let sets = Some(Arc::clone(&sets));
                KeyWindow { now_ms: now.wall.as_millis(), sets, window_ms }
            };
            let (short, long) = (window(10 * minute), window(day));
            for (received_ms, at_ms) in received {
                let age = 10 * day - at_ms;
                let what = format!("{what}, {age} ms old");
                // A step that is not noticed counts as time.
                if age + hour < day {
                    assert!(long.has(received_ms), "{what}");
                    assert!(long.begins_ms() <= received_ms, "{what}");
                }
                if age >= hour && age > 10 * minute + hour + longer + 2 * spread_ms {
                    assert!(!short.has(received_ms), "{what} {spread_ms}");
                }
            }
        }
    }

    proptest! {
        /// However often and wherever the clock is set: there and back, step by step, by less than a window.
        #[test]
        fn no_repetition_within_the_window_is_new_wherever_the_clock_was_set(
            steps in prop::collection::vec((0u64..40, -500i64..500), 0..20), merged in 0usize..18, since in 0u64..40,
        ) {
            let hour: u64 = 3_600_000;
            let (window_ms, mut wall, mut passed) = (24 * hour, 50 * 365 * 24 * hour, 0);
            let (mut sets, mut received) = (Vec::<OneSet>::new(), Vec::new());
            for (hours, by) in steps {
                for _ in 0..=hours {
                    received.push((wall, passed));
                    (wall, passed) = (wall + hour, passed + hour);
                }
                let ahead_ms = by * hour.cast_signed();
                wall = wall.saturating_add_signed(ahead_ms);
                sets.push(OneSet { at_ms: wall, ahead_ms, ..OneSet::default() });
            }
            received.push((wall, passed));
            (wall, passed) = (wall + since * hour, passed + since * hour);
            for _ in 0..merged {
                if let Some((at, one)) = cheapest(&sets) {
                    sets.remove(at);
                    sets[at] = one;
                }
            }
            let window = window(wall, sets, window_ms);
            for (received_ms, at) in received {
                if passed - at < window_ms {
                    prop_assert!(window.has(received_ms), "{received_ms} {at} {window:?}");
                    prop_assert!(window.begins_ms() <= received_ms);
                }
            }
        }
    }

    #[test]
    fn a_key_stays_until_the_index_has_it_and_late_answers_are_found_out() {
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        let mut recent = Recent::new(start);
        recent.put([1; 16], seen(1), 100);
        assert_eq!(recent.turn(Some(0), later(2)), 2, "nothing was in the one dropped");
        recent.put([2; 16], seen(2), 200);
        assert_eq!(recent.turn(Some(99), later(4)), 2, "the index has not read up to 100 yet");
        assert_eq!(recent.get(&[1; 16]), Some(seen(1)));
        assert!(!recent.missed(2) && recent.missed(NEVER_ASKED));
        assert_eq!(recent.turn(Some(100), later(4)), 3);
        assert_eq!((recent.get(&[1; 16]), recent.get(&[2; 16])), (None, Some(seen(2))));
        assert!(recent.missed(2));
    }

    #[test]
    fn without_an_index_the_newest_keys_are_kept_and_no_more() {
        let mut recent = Recent::new(Instant::now());
        let later = Instant::now() + Duration::from_secs(9);
        let key = |n: usize| (n as u128).to_le_bytes();
        for n in 0..3 * GENERATION_KEYS_MAX {
            recent.put(key(n), seen(1), 100);
            recent.turn(None, later);
        }
        assert_eq!(recent.old.keys.len() + recent.new.keys.len(), GENERATION_KEYS_MAX);
        assert_eq!(recent.get(&key(2 * GENERATION_KEYS_MAX - 1)), None);
        assert_eq!(recent.get(&key(2 * GENERATION_KEYS_MAX)), Some(seen(1)));
        assert!(recent.missed(1));
    }

    #[test]
    fn an_undone_key_is_as_before() {
        let mut recent = Recent::new(Instant::now());
        let first = recent.put([1; 16], seen(1), 100);
        let second = recent.put([1; 16], seen(2), 200);
        recent.undo(second);
        assert_eq!(recent.get(&[1; 16]), Some(seen(1)));
        recent.undo(first);
        assert_eq!(recent.get(&[1; 16]), None);
    }
}
