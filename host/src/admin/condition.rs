//! Whether a target works, and if not, why.

use std::time::SystemTime;

use super::view::{Inner, Standing, TargetView};
use super::wire::Condition;
use crate::model::Timestamp;
use crate::store::{Depth, HoldKind};
use crate::telemetry::{self, Act, TargetHistory};

/// Most characters of the last error that the condition shows.
const ERROR_CHARS_MAX: usize = 200;

/// The condition, and the same with its reason for people.
pub(super) fn condition(inner: &Inner, target: &TargetView) -> (Condition, String) {
    let (depth, mut shown_as) = (inner.queue.depth(target.number), &*target.name);
    match target.standing {
        Standing::Disabled => return disabled(depth),
        Standing::Removed => {
            let text = "not in the configuration any more: what waits for it stays until you move \
                or drop it";
            return (Condition::Removed, text.to_owned());
        }
        Standing::Unasked => {
            // What is known of the target holds for its recipients.
            shown_as = shown_as.split_once('/').map_or(shown_as, |(name, _)| name);
            let is_enabled =
                |of: &TargetView| *of.name == *shown_as && of.standing == Standing::Enabled;
            if !inner.view().targets.iter().any(is_enabled) {
                return disabled(depth);
            }
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
    shown(&inner.feed.history().target(shown_as), depth, Timestamp::from(SystemTime::now()))
}

fn disabled(depth: Depth) -> (Condition, String) {
    let waits = match depth.pending {
        0 => "",
        _ => ": what waits for it stays until it is enabled, or you move or drop it",
    };
    (Condition::Disabled, format!("disabled in the configuration{waits}"))
}

/// What the attempts since the start show of a target with these deliveries.
fn shown(history: &TargetHistory, depth: Depth, now: Timestamp) -> (Condition, String) {
    use telemetry::Condition as Known;
    let retrying = depth.retrying;
    let retries = match (retrying, history.last_error.as_str()) {
        (0, error) => format!("last error: {}", bounded(error)),
        (_, "") => format!("{retrying} retrying"),
        (_, error) => format!("{retrying} retrying, last error: {}", bounded(error)),
    };
    match &history.condition {
        Known::Works if retrying == 0 => (Condition::Works, "works".to_owned()),
        Known::Works => (Condition::Works, format!("works; {retries}")),
        Known::Unknown if retrying > 0 => {
            (Condition::NotProven, format!("not proven since it started: {retries}"))
        }
        Known::Unknown if depth.in_flight > 0 => {
            (Condition::Unknown, "unknown: its first attempt is running".to_owned())
        }
        Known::Unknown => (Condition::Unknown, "unknown: no attempt since it started".to_owned()),
        Known::NotProven => (Condition::NotProven, format!("not proven: {retries}")),
        Known::Rejects(_) => {
            (Condition::NotProven, format!("not proven, it rejected what it got last: {retries}"))
        }
        Known::Untried { act, at_ms, before } => {
            let act = match act {
                Act::Resumed => "resumed by hand",
                Act::MadeDue => "its retries were made due by hand",
                Act::StartedAgain => "started again",
            };
            let waits =
                if retrying == 0 { String::new() } else { format!("; {retrying} retrying") };
            let before = not_working(before, history, depth);
            let text = format!(
                "not proven: {act} at {}, not tried since{waits}; before: {before}",
                Timestamp::from_millis(*at_ms)
            );
            (Condition::NotProven, text)
        }
        Known::Throttled { until_ms, .. } if now.as_millis() >= *until_ms => {
            let text = not_working(&history.condition, history, depth);
            (Condition::NotProven, format!("not proven: {text}, and took nothing since"))
        }
        bad @ (Known::Throttled { .. }
        | Known::Failing(_)
        | Known::Down(_)
        | Known::Unusable(_)) => (Condition::Failing, not_working(bad, history, depth)),
    }
}

/// What is known of a target that does not work, or did not.
fn not_working(condition: &telemetry::Condition, history: &TargetHistory, depth: Depth) -> String {
    use telemetry::Condition as Known;
    let since = history.failing_since_ms;
    let since = since
        .map_or_else(String::new, |ms| format!("; failing since {}", Timestamp::from_millis(ms)));
    match condition {
        Known::Unusable(why) => format!("cannot be used: {why}"),
        Known::Throttled { until_ms, reason } => {
            format!("throttled until {}: {}", Timestamp::from_millis(*until_ms), bounded(reason))
        }
        Known::Failing(why) => format!("{}{since}", bounded(why)),
        Known::Down(why) if depth.pending == 0 => {
            format!("down, the next event probes it: {}{since}", bounded(why))
        }
        Known::Down(why) => format!("down, probing: {}{since}", bounded(why)),
        Known::Unknown
        | Known::Works
        | Known::NotProven
        | Known::Rejects(_)
        | Known::Untried { .. } => {
            format!("last error: {}{since}", bounded(&history.last_error))
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

    /// With `pending` deliveries, of which this many wait for a retry.
    fn depth(pending: u64, retrying: u64) -> Depth {
        Depth { pending, retrying, ..Depth::default() }
    }

    fn history(condition: telemetry::Condition, error: &str, since: Option<u64>) -> TargetHistory {
        let last_error = error.to_owned();
        TargetHistory { delivered_ms: None, condition, last_error, failing_since_ms: since }
    }

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
            let history = history(condition, error, None);
            assert_eq!(
                shown(&history, depth(3, retrying), Timestamp::from_millis(1)),
                (kind, text.to_owned())
            );
        }
        let long = "é".repeat(ERROR_CHARS_MAX + 1);
        assert_eq!(bounded(&long).chars().count(), ERROR_CHARS_MAX + 1);
        assert!(bounded(&long).ends_with("é…") && bounded(&long[2..]).ends_with('é'));
        let running = Depth { in_flight: 1, ..depth(1, 0) };
        let (_, text) = shown(&history(Unknown, "", None), running, Timestamp::from_millis(1));
        assert_eq!(text, "unknown: its first attempt is running");
    }

    /// The rows: what was known; the columns: as it is, resumed, started again.
    #[test]
    fn nothing_untrue_is_said_of_a_target_that_was_not_tried_since_a_person_changed_it() {
        use Condition as Kind;
        use telemetry::Condition::{Down, Failing, NotProven, Rejects, Throttled, Unusable};
        let at = |ms| Timestamp::from_millis(ms);
        let acts = [
            (Act::Resumed, "resumed by hand"),
            (Act::MadeDue, "its retries were made due by hand"),
            (Act::StartedAgain, "started again"),
        ];
        let since = format!("; failing since {}", at(1_000));
        for (condition, pending, kind, text) in [
            (NotProven, 2, Kind::NotProven, "last error: no".to_owned() + &since),
            (Rejects("no".into()), 0, Kind::NotProven, "last error: no".to_owned() + &since),
            (Failing("failing: no".into()), 2, Kind::Failing, "failing: no".to_owned() + &since),
            (Down("no".into()), 2, Kind::Failing, "down, probing: no".to_owned() + &since),
            (
                Down("no".into()),
                0,
                Kind::Failing,
                "down, the next event probes it: no".to_owned() + &since,
            ),
            (
                Throttled { until_ms: 9_000, reason: "429".into() },
                0,
                Kind::Failing,
                format!("throttled until {}: 429", at(9_000)),
            ),
        ] {
            let now = at(5_000);
            let known = history(condition.clone(), "no", Some(1_000));
            let (shown_kind, shown_text) = shown(&known, depth(pending, 0), now);
            assert_eq!(shown_kind, kind, "{condition:?}");
            if kind == Kind::Failing {
                assert_eq!(shown_text, text);
            }
            for (act, words) in acts {
                let before = Box::new(condition.clone());
                let untried = telemetry::Condition::Untried { act, at_ms: 4_000, before };
                let untried = history(untried, "no", Some(1_000));
                let expected = format!(
                    "not proven: {words} at {}, not tried since; before: {text}",
                    at(4_000)
                );
                assert_eq!(shown(&untried, depth(pending, 0), now), (Kind::NotProven, expected));
                let (_, retrying) = shown(&untried, depth(2, 2), now);
                assert!(retrying.contains("not tried since; 2 retrying; before: "), "{retrying}");
            }
        }
        // The end of a throttle is not a success.
        let throttled = Throttled { until_ms: 9_000, reason: "429".into() };
        let (kind, text) = shown(&history(throttled, "429", Some(1_000)), depth(0, 0), at(9_000));
        assert_eq!(kind, Kind::NotProven);
        assert_eq!(
            text,
            format!("not proven: throttled until {}: 429, and took nothing since", at(9_000))
        );
        let unusable = history(Unusable("no plugin".into()), "", None);
        let text = "cannot be used: no plugin".to_owned();
        assert_eq!(shown(&unusable, depth(2, 0), at(9_000)), (Kind::Failing, text));
        let (_, text) = shown(&history(Rejects("no".into()), "no", None), depth(0, 0), at(0));
        assert_eq!(text, "not proven, it rejected what it got last: last error: no");
    }
}
