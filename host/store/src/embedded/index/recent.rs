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

/// A generation is closed after this time …
const GENERATION: Duration = Duration::from_secs(1);

/// … or with this many keys.
const GENERATION_KEYS: usize = 32_768;

/// Without an index a generation takes this many, some 13 MB; then the oldest keys are forgotten.
const GENERATION_KEYS_MAX: usize = 131_072;

/// For a request for which the index was not asked.
pub(crate) const NEVER_ASKED: u64 = 0;

impl Seen {
    /// Whether an event with the same key, received at `now_ms`, repeats this one.
    pub(crate) const fn is_within(&self, now_ms: u64, window_ms: u64) -> bool {
        now_ms < self.received_ms.saturating_add(window_ms)
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
        for window_ms in [minute, 1_440 * minute] {
            assert!(seen(1).is_within(1_000 + window_ms - 1, window_ms));
            assert!(!seen(1).is_within(1_000 + window_ms, window_ms));
            assert!(seen(1).is_within(0, window_ms), "the clock was set back");
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
