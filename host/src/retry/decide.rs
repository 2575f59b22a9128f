//! From the verdict of one attempt to what becomes of the delivery.

use std::time::Duration;

use jiff::SignedDuration;

use super::policy::{MaybeSent, Policy};
use crate::model::{Failure, FailureKind, REASON_BYTES_MAX, Receipt, Timestamp, Verdict};

/// The longest wait that a destination can ask for. Bounds the damage of an absurd `Retry-After`.
pub const AFTER_MAX: Duration = Duration::from_secs(6 * 60 * 60);

/// Jitter only shortens a wait, by at most this part of it, so the documented schedule is the slowest.
const JITTER_PART: f64 = 0.2;

/// An attempt that has ended.
#[derive(Clone, Debug)]
pub struct FinishedAttempt {
    /// 1 for the first.
    pub number: u32,
    /// When the first attempt of this delivery was made.
    pub first_at: Timestamp,
    pub ended_at: Timestamp,
    pub verdict: Verdict,
    /// The target counts as broken. Otherwise the verdict "broken" is a failure of this delivery alone.
    pub broken: bool,
}

/// What follows an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Delivered(Receipt),
    RetryAt {
        at: Timestamp,
        reason: String,
        progress: Vec<u8>,
    },
    Dead {
        reason: String,
    },
    /// The whole target waits, and the delivery with it. The attempt does not count.
    Hold {
        /// How long a throttling destination asked to wait. `None`: it did not say, or it is broken.
        wait: Option<Duration>,
        reason: String,
        /// If not empty, it must be stored with the delivery.
        progress: Vec<u8>,
    },
}

/// Decides what follows an attempt. `jitter` is a random number from 0 to 1.
#[must_use]
pub fn decide(policy: &Policy, finished: FinishedAttempt, jitter: f64) -> Decision {
    let FinishedAttempt { number: attempt, first_at, ended_at: now, verdict, broken } = finished;
    let failure = match verdict {
        Ok(receipt) => return Decision::Delivered(receipt),
        Err(failure) => failure,
    };
    let limit = first_at.plus(policy.give_up_after);
    match failure.kind {
        FailureKind::Reject => Decision::Dead { reason: bounded(failure.reason) },
        FailureKind::Broken if broken => hold(failure, None),
        FailureKind::Retry | FailureKind::Throttled | FailureKind::Broken if now >= limit => {
            let after = SignedDuration::try_from(policy.give_up_after);
            let after = after.unwrap_or(SignedDuration::MAX);
            dead(attempt, &format!("{after:#}"), &failure.reason)
        }
        FailureKind::Throttled => {
            let wait = failure.after.map(|after| after.min(AFTER_MAX));
            hold(failure, wait)
        }
        FailureKind::Retry | FailureKind::Broken
            if failure.maybe_sent && policy.maybe_sent == MaybeSent::DeadLetter =>
        {
            let reason = format!("may have arrived, so it is not sent again: {}", failure.reason);
            Decision::Dead { reason: bounded(reason) }
        }
        FailureKind::Retry | FailureKind::Broken
            if policy.attempts_max.is_some_and(|max| attempt >= max) =>
        {
            dead(attempt, "the last attempt allowed", &failure.reason)
        }
        FailureKind::Retry | FailureKind::Broken => {
            let wait = wait(policy, attempt, failure.after, jitter);
            Decision::RetryAt {
                at: now.plus(wait).min(limit),
                reason: bounded(failure.reason),
                progress: failure.progress,
            }
        }
    }
}

/// The wait before the next attempt: the backoff, shortened by jitter, but at least what the destination asked for.
fn wait(policy: &Policy, attempt: u32, after: Option<Duration>, jitter: f64) -> Duration {
    let jitter = if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 0.0 };
    let wait = policy.backoff(attempt).mul_f64(1.0 - JITTER_PART * jitter);
    // Times are stored in milliseconds, so a shorter wait would be none.
    wait.max(after.unwrap_or_default().min(AFTER_MAX)).max(Duration::from_millis(1))
}

fn hold(failure: Failure, wait: Option<Duration>) -> Decision {
    Decision::Hold { wait, reason: bounded(failure.reason), progress: failure.progress }
}

fn dead(attempt: u32, after: &str, reason: &str) -> Decision {
    let attempts = if attempt == 1 { "attempt" } else { "attempts" };
    let reason = format!("given up after {after} ({attempt} {attempts}): {reason}");
    Decision::Dead { reason: bounded(reason) }
}

/// Truncates a reason at the end of a character. A prefix may have made it too long.
fn bounded(mut reason: String) -> String {
    let fits = |end: &usize| reason.is_char_boundary(*end);
    let end = (0..=REASON_BYTES_MAX.min(reason.len())).rev().find(fits).unwrap_or_default();
    reason.truncate(end);
    reason
}
