//! Whether a target works, as far as its attempts show.
//!
//! Every attempt counts, retries too: a target with few events may see nothing but retries. After a failure and before
//! a success nothing is proven; the target is failing after [`FAILED_ATTEMPTS`] failed attempts or
//! [`UNPROVEN_MAX`].

use std::time::Duration;

/// This many failed attempts without a success show that a target fails.
pub const FAILED_ATTEMPTS: u32 = 5;
/// The longest time after a failure without a success before a target counts as failing.
pub const UNPROVEN_MAX: Duration = Duration::from_secs(120);

/// What the attempts show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Nothing was delivered since it started or was resumed, and nothing failed.
    #[default]
    Unknown,
    /// The last attempt that showed something was a success.
    Works,
    /// It failed, and not yet often or long enough to count as failing.
    NotProven,
    Failing,
}

/// The attempts of one target since its last success. Times are monotonic, since any fixed moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Health {
    succeeded: bool,
    failures: u32,
    failing_since: Option<Duration>,
}

impl Health {
    /// An event was delivered; returns for how long attempts had failed before.
    pub fn succeeded(&mut self, now: Duration) -> Duration {
        let since = std::mem::take(self).failing_since;
        self.succeeded = true;
        now.saturating_sub(since.unwrap_or(now))
    }

    /// This many attempts failed.
    pub fn failed(&mut self, attempts: u32, now: Duration) {
        self.failures = self.failures.saturating_add(attempts);
        self.failing_since.get_or_insert(now);
    }

    /// Nothing is known any more: a person resumed the target.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    #[must_use]
    pub fn standing(&self, now: Duration) -> Standing {
        match self.failing_since {
            None if self.succeeded => Standing::Works,
            None => Standing::Unknown,
            Some(_) if self.failures >= FAILED_ATTEMPTS => Standing::Failing,
            Some(since) if now >= since + UNPROVEN_MAX => Standing::Failing,
            Some(_) => Standing::NotProven,
        }
    }

    /// When the target counts as failing if nothing succeeds until then; `None` if it does not depend on time.
    #[must_use]
    pub fn fails_at(&self) -> Option<Duration> {
        let since = self.failing_since.filter(|_| self.failures < FAILED_ATTEMPTS);
        since.map(|since| since + UNPROVEN_MAX)
    }

    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_target_fails_after_some_attempts_or_some_time_without_a_success() {
        let mut health = Health::default();
        assert_eq!(health.standing(secs(9_999)), Standing::Unknown);
        assert_eq!(health.succeeded(secs(10)), secs(0));
        assert_eq!(health.standing(secs(9_999)), Standing::Works);
        // Attempts.
        health.failed(FAILED_ATTEMPTS - 1, secs(20));
        assert_eq!(health.standing(secs(20)), Standing::NotProven);
        health.failed(1, secs(21));
        assert_eq!((health.standing(secs(21)), health.fails_at()), (Standing::Failing, None));
        assert_eq!(health.succeeded(secs(50)), secs(30));
        assert_eq!((health.standing(secs(50)), health.failures()), (Standing::Works, 0));
        // Time, measured from the oldest failure.
        health.failed(1, secs(100));
        health.failed(1, secs(200));
        let end = secs(100) + UNPROVEN_MAX;
        assert_eq!(health.fails_at(), Some(end));
        assert_eq!(health.standing(end - secs(1)), Standing::NotProven);
        assert_eq!(health.standing(end), Standing::Failing);
        health.forget();
        assert_eq!((health.standing(end), health.fails_at()), (Standing::Unknown, None));
    }
}
