//! `retry` of a target: how long and how often a failed delivery is attempted again.

use std::time::Duration;

use super::problem::Problem;
use super::reader::{Notes, Table};
use crate::retry::{BACKOFF_MIN, MaybeSent, Policy};

/// The largest `give_up_after`.
const GIVE_UP_AFTER_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// The largest `backoff_min` and `backoff_max`.
const BACKOFF_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const ATTEMPTS_MAX: u64 = 1_000_000;

/// Values of `maybe_sent`.
const MAYBE_SENT: [(&str, MaybeSent); 2] =
    [("retry", MaybeSent::Retry), ("dead-letter", MaybeSent::DeadLetter)];

/// Reads the table. A key that is missing has its default.
pub(super) fn policy(mut table: Table<'_>, notes: &Notes) -> Policy {
    let default = Policy::default();
    let time = Duration::ZERO..=GIVE_UP_AFTER_MAX;
    let wait = BACKOFF_MIN..=BACKOFF_MAX;
    let path = table.path.clone();
    let maybe_sent = table.entry("maybe_sent").and_then(|entry| {
        let word = entry.string(notes)?;
        let known = MAYBE_SENT.iter().find(|(name, _)| *name == word).map(|(_, value)| *value);
        if known.is_none() {
            let title = format!("`{path}.maybe_sent` must be \"retry\" or \"dead-letter\"");
            let help =
                "it decides about a delivery that may have arrived although its attempt failed";
            entry.refuse(notes, &title, "unknown value", help);
        }
        known
    });
    let waits = ["backoff_min", "backoff_max"].map(|key| table.entry(key).map(|entry| entry.span));
    let place = waits.into_iter().flatten().next().unwrap_or_else(|| table.place.clone());
    let give_up_after = table.duration("give_up_after", time, notes);
    let backoff_min = table.duration("backoff_min", wait.clone(), notes);
    let backoff_max = table.duration("backoff_max", wait, notes);
    let attempts_max = table.integer("attempts_max", 1..=ATTEMPTS_MAX, notes);
    table.finish(notes, |_| None);
    let policy = Policy {
        give_up_after: give_up_after.unwrap_or(default.give_up_after),
        // If only one of the two is set, the other one's default moves with it, so that min <= max.
        backoff_min: backoff_min
            .unwrap_or(default.backoff_min.min(backoff_max.unwrap_or(default.backoff_min))),
        backoff_max: backoff_max
            .unwrap_or(default.backoff_max.max(backoff_min.unwrap_or(default.backoff_max))),
        attempts_max: attempts_max.and_then(|max| u32::try_from(max).ok()),
        maybe_sent: maybe_sent.unwrap_or(default.maybe_sent),
    };
    if let Err(error) = policy.validate() {
        notes.add(Problem::error(format!("`{path}`: {error}")).at(place, ""));
    }
    policy
}
