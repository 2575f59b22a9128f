//! The recent repetition keys: those that the index may not know yet.
//!
//! The index is asked where a request is received, at once by many tasks; it lags behind the log.
//! The committer checks what came in between against two generations of recent keys. A generation is
//! dropped only when the index has all of it, and the count of dropped ones shows whether an answer of
//! the index is too old to be used, however long a request waited.

use std::collections::HashMap;
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
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyWindow {
    /// When the later event was received.
    pub now_ms: u64,
    /// When the clock was set since the earlier one was stored.
    pub sets: KeySets,
    pub window_ms: u64,
}

impl KeyWindow {
    /// That moment on the clock as it was when something was received at `received_ms`. Only a clock that was set back
    /// may have shown that time before and after.
    fn before_sets_ms(self, received_ms: u64) -> u64 {
        let sets = self.sets.0.iter().filter(|(at_ms, by)| *by < 0 || received_ms < *at_ms);
        sets.fold(self.now_ms, |now, (_, by)| now.saturating_sub_signed(*by))
    }

    /// When the window begins. Before that nothing has to be looked up.
    pub(crate) fn begins_ms(self) -> u64 {
        self.now_ms.min(self.before_sets_ms(0)).saturating_sub(self.window_ms)
    }

    /// Whether an event that was received at `received_ms` is repeated. It was received by the clock as it is or
    /// as it was before, and the shorter of both ages is right.
    pub(crate) fn has(self, received_ms: u64) -> bool {
        let ages = [self.now_ms, self.before_sets_ms(received_ms)];
        let age = ages.into_iter().filter_map(|now| now.checked_sub(received_ms)).min();
        age.is_none_or(|age| age < self.window_ms)
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

    fn seen(number: u64) -> Seen {
        Seen { number, received_ms: 1_000 }
    }

    #[test]
    fn a_repetition_is_received_within_the_window_of_its_source() {
        let minute = 60_000;
        let has = |now_ms, window_ms| {
            KeyWindow { now_ms, sets: KeySets::default(), window_ms }.has(1_000)
        };
        for window_ms in [minute, 1_440 * minute] {
            assert!(has(1_000 + window_ms - 1, window_ms));
            assert!(!has(1_000 + window_ms, window_ms));
            assert!(has(0, window_ms), "the clock was set back");
        }
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
                let now_ms = ahead(since);
                let mut sets = KeySets::default();
                sets.0[0] = (ahead(0), ahead_ms);
                let window = KeyWindow { now_ms, sets, window_ms };
                let within = before + since < window_ms;
                assert_eq!(window.has(start - before), within, "{ahead_ms} {before} {since}");
                assert!(!within || window.begins_ms() <= start - before);
                assert!(window.has(ahead(0)), "received since it was set");
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
