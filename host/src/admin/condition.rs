//! Whether a target works, and if not, why.

use super::view::{Inner, Standing, TargetView};
use super::wire::Condition;
use crate::store::HoldKind;

/// The condition, and the same with its reason for people.
pub(super) fn condition(inner: &Inner, target: &TargetView) -> (Condition, String) {
    let (_, failure) = inner.feed.history().target(&target.name);
    if target.standing == Standing::Disabled {
        (Condition::Disabled, "disabled in the configuration".to_owned())
    } else if target.standing == Standing::Removed {
        let text =
            "not in the configuration any more: what waits for it stays until you move or drop it";
        (Condition::Removed, text.to_owned())
    } else if let Some(hold) = inner.queue.held(target.number) {
        let reason = if hold.reason.is_empty() { "" } else { ": " };
        let since = format!("since {}{reason}{}", hold.since, hold.reason);
        match hold.kind {
            HoldKind::Paused => (Condition::Paused, format!("paused by hand {since}")),
            HoldKind::Broken => (Condition::Broken, format!("broken {since}; fix it, then resume")),
        }
    } else if let Some(failure) = failure {
        (Condition::Failing, failure)
    } else {
        (Condition::Works, "works".to_owned())
    }
}
