//! Whether a target works, and if not, why.

use super::view::{Inner, Standing, TargetView};
use super::wire::Condition;
use crate::store::HoldKind;
use crate::telemetry::{self, TargetHistory};

/// Most characters of the last error that the condition shows.
const ERROR_CHARS_MAX: usize = 200;

/// The condition, and the same with its reason for people.
pub(super) fn condition(inner: &Inner, target: &TargetView) -> (Condition, String) {
    match target.standing {
        Standing::Disabled => {
            return (Condition::Disabled, "disabled in the configuration".to_owned());
        }
        Standing::Removed => {
            let text = "not in the configuration any more: what waits for it stays until you move \
                or drop it";
            return (Condition::Removed, text.to_owned());
        }
        Standing::Enabled => {}
    }
    if let Some(hold) = inner.queue.held(target.number) {
        let reason = if hold.reason.is_empty() { "" } else { ": " };
        let since = format!("since {}{reason}{}", hold.since, hold.reason);
        return match hold.kind {
            HoldKind::Paused => (Condition::Paused, format!("paused by hand {since}")),
            HoldKind::Broken => (Condition::Broken, format!("broken {since}; fix it, then resume")),
        };
    }
    let retrying = inner.queue.depth(target.number).retrying;
    shown(inner.feed.history().target(&target.name), retrying)
}

/// What the attempts since the start show, while this many deliveries wait for a retry.
fn shown(history: TargetHistory, retrying: u64) -> (Condition, String) {
    let TargetHistory { condition, last_error, .. } = history;
    let retries = match last_error.is_empty() {
        true => format!("{retrying} retrying"),
        false => format!("{retrying} retrying, last error: {}", bounded(&last_error)),
    };
    match condition {
        telemetry::Condition::Failing(why) => (Condition::Failing, why),
        telemetry::Condition::NotProven => (Condition::NotProven, format!("not proven: {retries}")),
        telemetry::Condition::Works if retrying == 0 => (Condition::Works, "works".to_owned()),
        telemetry::Condition::Works => (Condition::Works, format!("works; {retries}")),
        telemetry::Condition::Unknown if retrying == 0 => {
            (Condition::Unknown, "unknown: no attempt since it started".to_owned())
        }
        telemetry::Condition::Unknown => {
            (Condition::NotProven, format!("not proven since it started: {retries}"))
        }
    }
}

fn bounded(error: &str) -> String {
    let mut shown: String = error.chars().take(ERROR_CHARS_MAX).collect();
    if shown.len() < error.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_with_retries_says_what_it_is_known_to_do_and_its_last_error() {
        use telemetry::Condition::{Failing, NotProven, Unknown, Works};
        for (condition, retrying, error, kind, text) in [
            (Unknown, 0, "", Condition::Unknown, "unknown: no attempt since it started"),
            (Unknown, 3, "", Condition::NotProven, "not proven since it started: 3 retrying"),
            (Works, 0, "old", Condition::Works, "works"),
            (Works, 1, "no", Condition::Works, "works; 1 retrying, last error: no"),
            (NotProven, 3, "no", Condition::NotProven, "not proven: 3 retrying, last error: no"),
            (Failing("down: no".into()), 3, "no", Condition::Failing, "down: no"),
        ] {
            let (delivered_ms, last_error) = (None, error.to_owned());
            let history = TargetHistory { delivered_ms, condition, last_error };
            assert_eq!(shown(history, retrying), (kind, text.to_owned()));
        }
        let long = "é".repeat(ERROR_CHARS_MAX + 1);
        assert_eq!(bounded(&long).chars().count(), ERROR_CHARS_MAX + 1);
        assert!(bounded(&long).ends_with("é…") && bounded(&long[2..]).ends_with('é'));
    }
}
