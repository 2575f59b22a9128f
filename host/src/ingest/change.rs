//! Whether the configuration is changing, or did so just now: an unknown path is not the last word then.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// For this long after a change of the configuration, also after one that was refused, an unknown path gets a 503: a
/// file that was read while it was being saved must not make senders give up.
pub(super) const GRACE: Duration = Duration::from_secs(10);
/// A change that takes longer, such as one that waits for a disk, is not waited for.
pub(super) const CHANGE_MAX: Duration = Duration::from_secs(120);

/// The changes under way, and the last one that ended.
#[derive(Debug, Default)]
pub(super) struct Changes(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    under_way: usize,
    /// When the oldest one under way was asked for, or the one before it ended.
    since: Option<Instant>,
    ended: Option<Instant>,
}

/// A change is under way until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct ChangeUnderWay<'c>(&'c Changes);

impl Changes {
    pub(super) fn begin(&self) -> ChangeUnderWay<'_> {
        let mut seen = self.seen();
        if seen.under_way == 0 {
            seen.since = Some(Instant::now());
        }
        seen.under_way += 1;
        ChangeUnderWay(self)
    }

    /// Whether senders should try again a request that the configuration does not know.
    pub(super) fn is_recent(&self, now: Instant) -> bool {
        let seen = self.seen();
        let within = |began: Option<Instant>, most| {
            began.is_some_and(|began| now.saturating_duration_since(began) < most)
        };
        (seen.under_way > 0 && within(seen.since, CHANGE_MAX)) || within(seen.ended, GRACE)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ChangeUnderWay<'_> {
    fn drop(&mut self) {
        let mut seen = self.0.seen();
        seen.under_way = seen.under_way.saturating_sub(1);
        let now = Some(Instant::now());
        (seen.since, seen.ended) = (now, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_recent_from_the_moment_that_it_is_asked_for_to_the_end_of_the_grace() {
        let (changes, second) = (Changes::default(), Duration::from_secs(1));
        let in_a = |while_: Duration| changes.is_recent(Instant::now() + while_);
        assert!(!in_a(Duration::ZERO), "nothing was changed");
        let first = changes.begin();
        assert!(in_a(Duration::ZERO) && in_a(CHANGE_MAX - second));
        assert!(!in_a(CHANGE_MAX), "no change takes so long");
        let second_one = changes.begin();
        drop(first);
        assert!(in_a(GRACE + second) && in_a(CHANGE_MAX - second), "the second one is under way");
        assert!(!in_a(CHANGE_MAX));
        drop(second_one);
        assert!(in_a(Duration::ZERO) && in_a(GRACE - second));
        assert!(!in_a(GRACE));
    }
}
