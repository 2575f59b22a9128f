//! Whether a target works, as far as its attempts show.

/// See the module's description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// No attempt showed anything since it started.
    #[default]
    Unknown,
    Works,
    /// It failed, not yet often or long enough to count as failing.
    NotProven,
    /// It answers, and took nothing since it started: the reason of the last rejection.
    Rejects(String),
    /// It was not tried since that; what was known before it.
    Untried {
        act: Act,
        at_ms: u64,
        before: Box<Self>,
    },
    /// It does not work, with the reason.
    Failing(String),
    /// Its circuit breaker is open: what waits for it is a probe of it.
    Down(String),
    /// It asked to wait until that time.
    Throttled {
        until_ms: u64,
        reason: String,
    },
    /// It cannot be called as it is configured.
    Unusable(String),
}

/// What makes an earlier condition count no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Resumed,
    /// A person made its retries due.
    MadeDue,
    /// By a reload, or after a fault of the daemon.
    StartedAgain,
}

impl Condition {
    /// Whether a person can have it tried again before its time.
    #[must_use]
    pub const fn is_held_off(&self) -> bool {
        matches!(self, Self::Failing(_) | Self::Down(_) | Self::Throttled { .. })
    }

    /// Takes in that the target was resumed or started again. An instance that is new has not shown that it works; one
    /// that was resumed has.
    pub(super) fn leave(&mut self, act: Act, at_ms: u64) {
        let before = std::mem::take(self);
        *self = match (before, act) {
            (Self::Works | Self::Unusable(_), Act::StartedAgain) => Self::Unknown,
            (before @ (Self::Works | Self::Unusable(_)), Act::Resumed | Act::MadeDue) => before,
            (before @ (Self::Unknown | Self::Untried { .. }), _) => before,
            (before, _) => Self::Untried { act, at_ms, before: Box::new(before) },
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_known_of_a_target_stays_known_when_it_is_resumed_or_started_again() {
        use Condition::{Down, Failing, NotProven, Rejects, Throttled, Unknown, Unusable, Works};
        let untried = |act, before: &Condition| {
            let before = Box::new(before.clone());
            Condition::Untried { act, at_ms: 5, before }
        };
        for (before, resumed, started) in [
            (Unknown, Some(Unknown), Some(Unknown)),
            (Works, Some(Works), Some(Unknown)),
            (Unusable("x".into()), Some(Unusable("x".into())), Some(Unknown)),
            (NotProven, None, None),
            (Rejects("x".into()), None, None),
            (Failing("x".into()), None, None),
            (Down("x".into()), None, None),
            (Throttled { until_ms: 9, reason: "x".into() }, None, None),
        ] {
            for (act, after) in [
                (Act::Resumed, resumed.clone()),
                (Act::MadeDue, resumed),
                (Act::StartedAgain, started),
            ] {
                let expected = after.unwrap_or_else(|| untried(act, &before));
                let mut now = before.clone();
                now.leave(act, 5);
                assert_eq!(now, expected, "{before:?} {act:?}");
                // Once more changes nothing.
                now.leave(act, 6);
                assert_eq!(now, expected, "{before:?} {act:?}");
            }
        }
    }
}
