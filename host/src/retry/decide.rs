//! From one verdict to what becomes of the delivery.

use std::time::Duration;

use jiff::SignedDuration;

use super::policy::{MaybeSent, Policy};
use crate::model::{Failure, FailureKind, REASON_BYTES_MAX, Receipt, Timestamp, Verdict};

/// The longest wish of a destination that is honoured: an absurd `Retry-After` costs no more than this.
pub const AFTER_MAX: Duration = Duration::from_secs(6 * 60 * 60);

/// Jitter only shortens a wait, by at most this part of it: the schedule that is shown is the slowest.
const JITTER_PART: f64 = 0.2;

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
    /// The whole target waits, and the delivery with it; the attempt does not count.
    Hold {
        /// The destination's wish when it is throttled; `None` when it said nothing or is broken.
        wait: Option<Duration>,
        reason: String,
        /// When not empty it must be kept with the delivery.
        progress: Vec<u8>,
    },
}

/// Decides on the attempt number `attempt` (1 for the first) that ended `now`. `jitter` is a random
/// number from 0 to 1.
#[must_use]
pub fn decide(
    policy: &Policy,
    attempt: u32,
    first_attempt_at: Timestamp,
    verdict: Verdict,
    now: Timestamp,
    jitter: f64,
) -> Decision {
    let failure = match verdict {
        Ok(receipt) => return Decision::Delivered(receipt),
        Err(failure) => failure,
    };
    let limit = first_attempt_at.plus(policy.give_up_after);
    match failure.kind {
        FailureKind::Reject => Decision::Dead { reason: bounded(failure.reason) },
        FailureKind::Broken => hold(failure, None),
        FailureKind::Retry | FailureKind::Throttled if now >= limit => {
            let after = SignedDuration::try_from(policy.give_up_after);
            let after = after.unwrap_or(SignedDuration::MAX);
            dead(attempt, &format!("{after:#}"), &failure.reason)
        }
        FailureKind::Throttled => {
            let wait = failure.after.map(|after| after.min(AFTER_MAX));
            hold(failure, wait)
        }
        FailureKind::Retry if failure.maybe_sent && policy.maybe_sent == MaybeSent::DeadLetter => {
            let reason = format!("may have arrived, so it is not sent again: {}", failure.reason);
            Decision::Dead { reason: bounded(reason) }
        }
        FailureKind::Retry if policy.attempts_max.is_some_and(|max| attempt >= max) => {
            dead(attempt, "the last attempt allowed", &failure.reason)
        }
        FailureKind::Retry => {
            let wait = wait(policy, attempt, failure.after, jitter);
            Decision::RetryAt {
                at: now.plus(wait).min(limit),
                reason: bounded(failure.reason),
                progress: failure.progress,
            }
        }
    }
}

/// The wait before the next attempt: backoff, shortened by jitter, and at least what was asked for.
fn wait(policy: &Policy, attempt: u32, after: Option<Duration>, jitter: f64) -> Duration {
    let jitter = if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 0.0 };
    let wait = policy.backoff(attempt).mul_f64(1.0 - JITTER_PART * jitter);
    // Times are stored in milliseconds: less than one would be no wait at all.
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

/// Cuts at a character's end, so that what is added to a full reason keeps its limit.
fn bounded(mut reason: String) -> String {
    let fits = |end: &usize| reason.is_char_boundary(*end);
    let end = (0..=REASON_BYTES_MAX.min(reason.len())).rev().find(fits).unwrap_or_default();
    reason.truncate(end);
    reason
}
