//! How the failed deliveries of a target are retried: the settings, their limits and the resulting schedule.

use std::time::Duration;

/// Most waits that [`schedule`] lists. A policy may have more.
pub const SCHEDULE_WAITS_MAX: usize = 64;

/// What becomes of a delivery that may have been sent although its attempt failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MaybeSent {
    /// Retry: the destination may get the event twice, but never misses it.
    #[default]
    Retry,
    /// Never send it twice; a person decides.
    DeadLetter,
}

/// The retry settings of a target. [`validate`](Self::validate) checks them. The functions of this module return
/// bounded results for invalid settings, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Wait after the first failure. Doubles with each further one.
    pub backoff_min: Duration,
    /// The longest wait between two attempts.
    pub backoff_max: Duration,
    /// Time since the first attempt after which a failure is final. Zero: one attempt.
    pub give_up_after: Duration,
    /// A limit in addition to time. `None`: time alone.
    pub attempts_max: Option<u32>,
    pub maybe_sent: MaybeSent,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(60 * 60),
            give_up_after: Duration::from_secs(24 * 60 * 60),
            attempts_max: None,
            maybe_sent: MaybeSent::Retry,
        }
    }
}

/// Why a policy is not valid. Names the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPolicy {
    #[error("`backoff_min` is shorter than {} ms", BACKOFF_MIN.as_millis())]
    BackoffTooShort,
    #[error("`backoff_min` is longer than `backoff_max`")]
    BackoffMinAboveMax,
    #[error("`attempts_max` is 0: a delivery gets at least one attempt")]
    NoAttempt,
}

/// The shortest wait between two attempts of one delivery.
pub const BACKOFF_MIN: Duration = Duration::from_millis(10);

impl Policy {
    /// # Errors
    /// The first problem found.
    pub fn validate(&self) -> Result<(), InvalidPolicy> {
        if self.backoff_min < BACKOFF_MIN {
            Err(InvalidPolicy::BackoffTooShort)
        } else if self.backoff_min > self.backoff_max {
            Err(InvalidPolicy::BackoffMinAboveMax)
        } else if self.attempts_max == Some(0) {
            Err(InvalidPolicy::NoAttempt)
        } else {
            Ok(())
        }
    }

    /// The wait after this many failed attempts, before jitter and limits.
    pub(super) fn backoff(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(63);
        let factor = u32::try_from(1u64 << doublings).unwrap_or(u32::MAX);
        self.backoff_min
            .max(BACKOFF_MIN)
            .saturating_mul(factor)
            .min(self.backoff_max.max(BACKOFF_MIN))
    }
}

/// The waits between attempts until the policy gives up, without jitter and for attempts that take no time. The last
/// wait may be shorter, because it ends at the limit. At most [`SCHEDULE_WAITS_MAX`] waits.
#[must_use]
pub fn schedule(policy: &Policy) -> Vec<Duration> {
    let waits_max = policy.attempts_max.map_or(usize::MAX, |max| max.saturating_sub(1) as usize);
    let mut left = policy.give_up_after;
    (1u32..)
        .map_while(|attempt| {
            let wait = policy.backoff(attempt).min(left);
            left -= wait;
            (!wait.is_zero()).then_some(wait)
        })
        .take(waits_max.min(SCHEDULE_WAITS_MAX))
        .collect()
}
