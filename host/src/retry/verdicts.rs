//! What the verdicts of a call show of the target, and the reasons for a retry after a call that gave none.

use std::time::Duration;

use super::{AFTER_MAX, Sign};
use crate::model::{Failure, FailureKind, Verdict};

/// The reason for a call that panicked.
pub const PANICKED: &str = "the plugin panicked";

/// What the verdicts of one call show of the target: whether it works, and whether it is to be left alone.
#[must_use]
pub fn signs(first_attempts: usize, verdicts: &[Verdict]) -> Vec<Sign> {
    let mut signs = Vec::with_capacity(2);
    let kind = |verdict: &Verdict| verdict.as_ref().err().map(|failure| failure.kind);
    let any = |wanted: FailureKind| verdicts.iter().any(|verdict| kind(verdict) == Some(wanted));
    let rejected =
        verdicts.iter().filter(|verdict| kind(verdict) == Some(FailureKind::Reject)).count();
    let delivered = verdicts.iter().any(Result::is_ok);
    let alive = delivered || rejected > 0;
    if delivered {
        signs.push(Sign::Alive);
    } else if rejected > 0 {
        signs.push(Sign::Rejected(u32::try_from(rejected).unwrap_or(u32::MAX)));
    }
    if any(FailureKind::Broken) {
        signs.push(Sign::Broken);
    } else if any(FailureKind::Throttled) {
        signs.push(Sign::Throttled(throttled_for(verdicts)));
    } else if !alive {
        // Only first attempts say something about the target. A failed retry may be the event's fault.
        signs.push(Sign::Failed(u32::try_from(first_attempts).unwrap_or(u32::MAX)));
    }
    signs
}

/// The longest time that a throttling verdict asked for.
fn throttled_for(verdicts: &[Verdict]) -> Option<Duration> {
    let failures = verdicts.iter().filter_map(|verdict| verdict.as_ref().err());
    let throttled = failures.filter(|failure| failure.kind == FailureKind::Throttled);
    let longest = throttled.filter_map(|failure| failure.after).max();
    longest.map(|after| after.min(AFTER_MAX))
}

/// Why the target is broken, if a verdict says that it is.
#[must_use]
pub fn broken_reason(verdicts: &[Verdict]) -> Option<String> {
    let mut failures = verdicts.iter().filter_map(|verdict| verdict.as_ref().err());
    failures.find(|failure| failure.kind == FailureKind::Broken).map(|f| f.reason.clone())
}

/// The verdicts of a call for `count` deliveries; a failure each if it gave another number of them.
#[must_use]
pub fn counted(verdicts: Vec<Verdict>, count: usize) -> Vec<Verdict> {
    if verdicts.len() == count {
        return verdicts;
    }
    failed(count, &format!("the plugin gave {} verdicts for {count} events", verdicts.len()))
}

/// The verdict of a call for a single delivery.
pub fn single(verdicts: Vec<Verdict>) -> Verdict {
    let last = counted(verdicts, 1).pop();
    last.unwrap_or_else(|| Err(failure("the plugin gave no verdict")))
}

/// Verdicts for a call that ended without any. How far it had come is unknown, so the events may have been sent.
#[must_use]
pub fn failed(count: usize, reason: &str) -> Vec<Verdict> {
    vec![Err(failure(reason)); count]
}

fn failure(reason: &str) -> Failure {
    Failure { maybe_sent: true, ..Failure::new(FailureKind::Retry, reason) }
}
