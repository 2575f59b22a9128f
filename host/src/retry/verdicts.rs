//! What the verdicts of a call show of the target, and the reasons for a retry after a call that gave none.

use std::time::Duration;

use super::{AFTER_MAX, Sign};
use crate::model::{Failure, FailureKind, Verdict};

/// The reason for a call that panicked.
pub const PANICKED: &str = "the plugin panicked";

/// What the verdicts of one call show of the target: whether it works, and whether it is to be left alone.
/// [`Evidence`](super::Evidence) decides what the verdict "broken" shows of the target.
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
    if any(FailureKind::Throttled) {
        signs.push(Sign::Throttled(throttled_for(verdicts)));
    } else if !alive && !all_refused(verdicts) {
        // Only first attempts say something about the target. A failed retry may be the event's fault.
        signs.push(Sign::Failed(u32::try_from(first_attempts).unwrap_or(u32::MAX)));
    }
    signs
}

/// Whether each verdict is "broken".
#[must_use]
pub fn all_refused(verdicts: &[Verdict]) -> bool {
    let refused =
        |verdict: &Verdict| matches!(verdict, Err(Failure { kind: FailureKind::Broken, .. }));
    !verdicts.is_empty() && verdicts.iter().all(refused)
}

/// The longest time that a throttling verdict asked for.
fn throttled_for(verdicts: &[Verdict]) -> Option<Duration> {
    let failures = verdicts.iter().filter_map(|verdict| verdict.as_ref().err());
    let throttled = failures.filter(|failure| failure.kind == FailureKind::Throttled);
    let longest = throttled.filter_map(|failure| failure.after).max();
    longest.map(|after| after.min(AFTER_MAX))
}

/// How many verdicts are failures of the target or of an event that is tried again, and the reason of the last of them.
/// Neither a rejection nor a throttle says that the target does not work.
#[must_use]
pub fn failures(verdicts: &[Verdict]) -> Option<(u32, &str)> {
    let failures = verdicts.iter().filter_map(|verdict| verdict.as_ref().err());
    let failed =
        |failure: &&Failure| matches!(failure.kind, FailureKind::Retry | FailureKind::Broken);
    let mut failed = failures.filter(failed);
    let last = failed.next_back()?;
    let count = u32::try_from(failed.count() + 1).unwrap_or(u32::MAX);
    Some((count, &last.reason))
}

/// The reason of the last rejection.
#[must_use]
pub fn rejection(verdicts: &[Verdict]) -> Option<&str> {
    let mut failures = verdicts.iter().rev().filter_map(|verdict| verdict.as_ref().err());
    let last = failures.find(|failure| failure.kind == FailureKind::Reject)?;
    Some(&last.reason)
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
