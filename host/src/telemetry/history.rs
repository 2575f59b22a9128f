//! Recent history for `status`, `explain` and `refused`: refused requests, failed attempts, times of the
//! last event and delivery, and whether a target works.
//!
//! In memory only. Limits: the newest [`REFUSALS_MAX`] of a source and [`ATTEMPTS_MAX`] of a target.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// Most refused requests kept of one source.
pub const REFUSALS_MAX: usize = 100;
/// Most failed attempts kept of one target.
pub const ATTEMPTS_MAX: usize = 64;
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
    pub event: String,
    pub attempt: u32,
    /// The verdict, as its word.
    pub verdict: &'static str,
    pub reason: String,
}

/// Whether a target works, as far as its attempts show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing was delivered and nothing failed since it started or was resumed.
    #[default]
    Unknown,
    Works,
    /// It failed, not yet often or long enough to count as failing.
    NotProven,
    /// It does not work, with the reason.
    Failing(String),
}

/// What is remembered of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetHistory {
    /// When the last delivery was made.
    pub delivered_ms: Option<u64>,
    pub condition: Condition,
    /// Of the last failed attempt; empty if there was none.
    pub last_error: String,
}

#[derive(Debug, Default)]
struct OfTarget {
    now: TargetHistory,
    attempts: VecDeque<Attempt>,
}

/// See the module's description.
#[derive(Debug, Default)]
pub struct History {
    refusals: Mutex<HashMap<Arc<str>, VecDeque<Refusal>>>,
    targets: Mutex<HashMap<Arc<str>, OfTarget>>,
    /// When the last event of a source was stored, in ms since 1970.
    stored: RwLock<HashMap<Arc<str>, AtomicU64>>,
}

impl History {
    pub fn refused(&self, source: Option<&Arc<str>>, refusal: Refusal) {
        let source = source.cloned().unwrap_or_else(|| NO_SOURCE.into());
        push(lock(&self.refusals).entry(source).or_default(), refusal, REFUSALS_MAX);
    }

    pub fn stored(&self, source: &Arc<str>, at_ms: u64) {
        let known = self.stored.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = known.get(source) {
            return last.store(at_ms, Ordering::Relaxed);
        }
        drop(known);
        let mut known = self.stored.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(Arc::clone(source), AtomicU64::new(at_ms));
    }

    pub fn delivered(&self, target: &Arc<str>, at_ms: u64) {
        self.of(target, |of| of.now.delivered_ms = Some(at_ms));
    }

    pub fn failed(&self, target: &Arc<str>, attempt: Attempt) {
        self.of(target, |of| push(&mut of.attempts, attempt, ATTEMPTS_MAX));
    }

    /// Sets whether a target works.
    pub fn condition(&self, target: &Arc<str>, condition: Condition) {
        self.of(target, |of| of.now.condition = condition);
    }

    /// Sets the reason of the last failed attempt.
    pub fn last_error(&self, target: &Arc<str>, error: &str) {
        self.of(target, |of| error.clone_into(&mut of.now.last_error));
    }

    /// The refusals of one source or of all, the newest last.
    #[must_use]
    pub fn refusals(&self, source: Option<&str>) -> Vec<(Arc<str>, Refusal)> {
        let refusals = lock(&self.refusals);
        let wanted = refusals.iter().filter(|(name, _)| source.is_none_or(|s| s == &***name));
        let mut all: Vec<_> = wanted
            .flat_map(|(name, list)| list.iter().map(|one| (Arc::clone(name), one.clone())))
            .collect();
        all.sort_by_key(|(_, refusal)| refusal.at_ms);
        all
    }

    /// The failed attempts of one event at a target, the newest last.
    #[must_use]
    pub fn attempts(&self, target: &str, event: &str) -> Vec<Attempt> {
        let targets = lock(&self.targets);
        let attempts = targets.get(target).into_iter().flat_map(|of| &of.attempts);
        attempts.filter(|attempt| attempt.event == event).cloned().collect()
    }

    /// When the last event of the source was stored.
    #[must_use]
    pub fn last_stored_ms(&self, source: &str) -> Option<u64> {
        let known = self.stored.read().unwrap_or_else(PoisonError::into_inner);
        known.get(source).map(|last| last.load(Ordering::Relaxed))
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
        assert_eq!(history.refusals(None).len(), 2 * REFUSALS_MAX);
        history.stored(&a, 3);
        history.stored(&a, 4);
        assert_eq!((history.last_stored_ms("a"), history.last_stored_ms("b")), (Some(4), None));
        history.condition(&b, Condition::Failing("down".into()));
        history.last_error(&b, "no answer");
        history.delivered(&b, 9);
        let of_b = history.target("b");
        assert_eq!(of_b.condition, Condition::Failing("down".into()));
        assert_eq!((of_b.delivered_ms, of_b.last_error.as_str()), (Some(9), "no answer"));
        assert_eq!(history.target("a"), TargetHistory::default());
    }
}
