//! Recent history for `status`, `explain` and `refused`: refused requests, failed attempts, times of the
//! last event and delivery, and whether a target works.
//!
//! In memory only. Limits: the newest [`REFUSALS_MAX`] of a source, and [`ATTEMPTS_MAX`] of a target with at most
//! [`ATTEMPT_EVENTS_MAX`] events.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::condition::{Act, Condition};

/// Most refused requests kept of one source.
pub const REFUSALS_MAX: usize = 100;
/// Most failed attempts kept of one target.
pub const ATTEMPTS_MAX: usize = 64;
/// Most events of these attempts: one attempt at a digest has many. The newest attempt is kept whatever it has.
pub const ATTEMPT_EVENTS_MAX: usize = 4_096;
/// Stands for the source of requests to unknown paths.
pub const NO_SOURCE: &str = "-";

/// A request that was refused.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub at_ms: u64,
    pub request: Arc<str>,
    /// The sender's address, and the proxy's if there is one.
    pub from: String,
    pub status: u16,
    pub reason: String,
}

/// An attempt that failed.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub at_ms: u64,
    /// Several if they shared a message.
    pub events: Vec<String>,
    pub attempt: u32,
    /// The verdict, as its word.
    pub verdict: &'static str,
    pub reason: String,
    /// Otherwise the next attempt has the same number.
    pub counted: bool,
}

/// What is remembered of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetHistory {
    /// When the last delivery was made.
    pub delivered_ms: Option<u64>,
    pub condition: Condition,
    /// Of the last failed attempt; empty if there was none.
    pub last_error: String,
    /// The oldest failure since the last delivery, in ms since 1970.
    pub failing_since_ms: Option<u64>,
}

#[derive(Debug, Default)]
struct OfTarget {
    now: TargetHistory,
    attempts: VecDeque<Attempt>,
    /// Of all attempts.
    events: usize,
}

/// The newest refusals of a source, and how many there were since the start.
#[derive(Debug, Default)]
struct Refusals {
    newest: VecDeque<Refusal>,
    count: usize,
}

/// What is remembered of a source since the start.
#[derive(Debug)]
struct OfSource {
    /// When its last event was stored, in ms since 1970.
    last_ms: AtomicU64,
    duplicates: AtomicU64,
}

/// See the module's description.
#[derive(Debug, Default)]
pub struct History {
    refusals: Mutex<HashMap<Arc<str>, Refusals>>,
    targets: Mutex<HashMap<Arc<str>, OfTarget>>,
    stored: RwLock<HashMap<Arc<str>, OfSource>>,
    /// When the last event of a source was stored before the start, in ms since 1970.
    earlier: Mutex<HashMap<String, u64>>,
}

impl History {
    pub fn refused(&self, source: Option<&Arc<str>>, refusal: Refusal) {
        let source = source.cloned().unwrap_or_else(|| NO_SOURCE.into());
        let mut refusals = lock(&self.refusals);
        let of = refusals.entry(source).or_default();
        of.count += 1;
        push(&mut of.newest, refusal, REFUSALS_MAX);
    }

    /// A request of the source was stored. `duplicates`: how many of its events were repetitions.
    pub fn stored(&self, source: &Arc<str>, at_ms: u64, duplicates: usize) {
        let known = self.stored.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(of) = known.get(source) {
            of.last_ms.store(at_ms, Ordering::Relaxed);
            if duplicates > 0 {
                of.duplicates.fetch_add(duplicates as u64, Ordering::Relaxed);
            }
            return;
        }
        drop(known);
        let mut known = self.stored.write().unwrap_or_else(PoisonError::into_inner);
        let of = known.entry(Arc::clone(source)).or_insert_with(|| OfSource {
            last_ms: AtomicU64::new(at_ms),
            duplicates: AtomicU64::new(0),
        });
        of.last_ms.store(at_ms, Ordering::Relaxed);
        of.duplicates.fetch_add(duplicates as u64, Ordering::Relaxed);
    }

    /// What an earlier run of the daemon saved of a source.
    pub fn restore(&self, source: String, last_ms: u64) {
        lock(&self.earlier).insert(source, last_ms);
    }

    pub fn delivered(&self, target: &Arc<str>, at_ms: u64) {
        self.of(target, |of| {
            of.now.delivered_ms = Some(at_ms);
            of.now.failing_since_ms = None;
        });
    }

    pub fn failed(&self, target: &Arc<str>, attempt: Attempt) {
        self.of(target, |of| {
            of.events += attempt.events.len();
            of.attempts.push_back(attempt);
            while of.attempts.len() > 1
                && (of.attempts.len() > ATTEMPTS_MAX || of.events > ATTEMPT_EVENTS_MAX)
            {
                let oldest = of.attempts.pop_front();
                of.events -= oldest.map_or(0, |attempt| attempt.events.len());
            }
        });
    }

    /// Sets whether a target works.
    pub fn condition(&self, target: &Arc<str>, condition: Condition) {
        self.of(target, |of| of.now.condition = condition);
    }

    /// The target was resumed or started again. What was known of it stays known until its next attempt.
    pub fn untried(&self, target: &Arc<str>, act: Act, at_ms: u64) {
        self.of(target, |of| of.now.condition.leave(act, at_ms));
    }

    /// Sets the reason of the last failed attempt.
    pub fn last_error(&self, target: &Arc<str>, error: &str, at_ms: u64) {
        self.of(target, |of| {
            error.clone_into(&mut of.now.last_error);
            of.now.failing_since_ms.get_or_insert(at_ms);
        });
    }

    /// Sets the reason of the last failed attempt before the start, unless there was one since.
    pub fn earlier_error(&self, target: &Arc<str>, error: &str) {
        self.of(target, |of| {
            if of.now.last_error.is_empty() {
                error.clone_into(&mut of.now.last_error);
            }
        });
    }

    /// The refusals of one source or of all, the newest last.
    #[must_use]
    pub fn refusals(&self, source: Option<&str>) -> Vec<(Arc<str>, Refusal)> {
        let refusals = lock(&self.refusals);
        let wanted = refusals.iter().filter(|(name, _)| source.is_none_or(|s| s == &***name));
        let mut all: Vec<_> = wanted
            .flat_map(|(name, of)| of.newest.iter().map(|one| (Arc::clone(name), one.clone())))
            .collect();
        all.sort_by_key(|(_, refusal)| refusal.at_ms);
        all
    }

    /// How many requests to the source were refused since the start.
    #[must_use]
    pub fn refused_count(&self, source: &str) -> usize {
        lock(&self.refusals).get(source).map_or(0, |of| of.count)
    }

    /// The failed attempts of one event at a target, the newest last.
    #[must_use]
    pub fn attempts(&self, target: &str, event: &str) -> Vec<Attempt> {
        let targets = lock(&self.targets);
        let attempts = targets.get(target).into_iter().flat_map(|of| &of.attempts);
        let of_event = |attempt: &&Attempt| attempt.events.iter().any(|id| id == event);
        // Without the ids of the other events.
        let copy = |attempt: &Attempt| Attempt {
            events: Vec::new(),
            reason: attempt.reason.clone(),
            ..*attempt
        };
        attempts.filter(of_event).map(copy).collect()
    }

    /// When the last event of the source was stored since the start.
    #[must_use]
    pub fn last_stored_ms(&self, source: &str) -> Option<u64> {
        let known = self.stored.read().unwrap_or_else(PoisonError::into_inner);
        known.get(source).map(|of| of.last_ms.load(Ordering::Relaxed))
    }

    /// When the last event of the source was stored, also before the start as far as that was saved.
    #[must_use]
    pub fn last_event_ms(&self, source: &str) -> Option<u64> {
        self.last_stored_ms(source).or_else(|| lock(&self.earlier).get(source).copied())
    }

    /// How many events of the source since the start were repetitions.
    #[must_use]
    pub fn duplicates(&self, source: &str) -> u64 {
        let known = self.stored.read().unwrap_or_else(PoisonError::into_inner);
        known.get(source).map_or(0, |of| of.duplicates.load(Ordering::Relaxed))
    }

    /// What is remembered of a target.
    #[must_use]
    pub fn target(&self, target: &str) -> TargetHistory {
        let targets = lock(&self.targets);
        targets.get(target).map_or_else(TargetHistory::default, |of| of.now.clone())
    }

    fn of(&self, target: &Arc<str>, change: impl FnOnce(&mut OfTarget)) {
        let mut targets = lock(&self.targets);
        match targets.get_mut(target) {
            Some(of) => change(of),
            None => change(targets.entry(Arc::clone(target)).or_default()),
        }
    }
}

fn push<T>(list: &mut VecDeque<T>, one: T, max: usize) {
    if list.len() == max {
        list.pop_front();
    }
    list.push_back(one);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_of_each_source_are_kept() {
        let (history, a, b) = (History::default(), Arc::from("a"), Arc::from("b"));
        for at_ms in 0..REFUSALS_MAX as u64 + 5 {
            let refusal = Refusal {
                at_ms,
                request: "r".into(),
                from: "x".into(),
                status: 401,
                reason: String::new(),
            };
            history.refused(Some(&a), refusal.clone());
            history.refused(None, refusal);
        }
        let of_a = history.refusals(Some("a"));
        assert_eq!((of_a.len(), of_a[0].1.at_ms), (REFUSALS_MAX, 5));
        assert_eq!((history.refused_count("a"), history.refused_count("b")), (REFUSALS_MAX + 5, 0));
        assert_eq!(history.refusals(None).len(), 2 * REFUSALS_MAX);
        history.restore("b".into(), 2);
        history.restore("a".into(), 2);
        assert_eq!(history.last_event_ms("a"), Some(2));
        history.stored(&a, 3, 2);
        history.stored(&a, 4, 1);
        assert_eq!((history.duplicates("a"), history.duplicates("b")), (3, 0));
        assert_eq!((history.last_event_ms("a"), history.last_event_ms("b")), (Some(4), Some(2)));
        assert_eq!((history.last_stored_ms("a"), history.last_stored_ms("b")), (Some(4), None));
        history.condition(&b, Condition::Failing("down".into()));
        history.earlier_error(&b, "before the start");
        assert_eq!(history.target("b").failing_since_ms, None, "of this run");
        assert_eq!(history.target("b").last_error, "before the start");
        history.last_error(&b, "no answer", 7);
        history.last_error(&b, "no answer", 8);
        history.earlier_error(&b, "before the start");
        assert_eq!(history.target("b").failing_since_ms, Some(7), "of the oldest failure");
        history.delivered(&b, 9);
        assert_eq!(history.target("b").failing_since_ms, None);
        let of_b = history.target("b");
        assert_eq!(of_b.condition, Condition::Failing("down".into()));
        assert_eq!((of_b.delivered_ms, of_b.last_error.as_str()), (Some(9), "no answer"));
        assert_eq!(history.target("a"), TargetHistory::default());
    }

    #[test]
    fn every_event_of_a_message_has_its_attempts_and_their_number_is_bounded() {
        let (history, target) = (History::default(), Arc::from("t"));
        let attempt = |number: u32, events: usize| Attempt {
            at_ms: 0,
            events: (0..events).map(|event| format!("{event}")).collect(),
            attempt: number,
            verdict: "retry",
            reason: String::new(),
            counted: true,
        };
        let numbers = |event: &str| -> Vec<u32> {
            history.attempts("t", event).iter().map(|attempt| attempt.attempt).collect()
        };
        for number in 1..=3 {
            history.failed(&target, attempt(number, 2_000));
        }
        assert_eq!((numbers("0"), numbers("1999")), (vec![2, 3], vec![2, 3]));
        history.failed(&target, attempt(4, ATTEMPT_EVENTS_MAX + 1));
        assert_eq!((numbers("7"), numbers("5000")), (vec![4], vec![]));
        for number in 5..100 {
            history.failed(&target, attempt(number, 1));
        }
        assert_eq!(numbers("0").len(), ATTEMPTS_MAX);
        assert_eq!(numbers("7"), Vec::<u32>::new());
    }
}
