//! Holds a target that fails as a whole, and finds out by single probes when it works again.
//!
//! Closed, every delivery may be tried. After [`FAILURES_TO_OPEN`] failures without a success between
//! them, or at once when the destination throttles or is broken, the target is held: one delivery at a
//! time probes, at intervals that double from [`PROBE_MIN`] to [`PROBE_MAX`]. A probe that succeeds ends
//! the hold. Time is a monotonic duration since any fixed moment: a wall clock that is set back must
//! not hold a target for a year.

use std::time::Duration;

/// That many failures in a row mean that the target is down, not the event bad.
pub const FAILURES_TO_OPEN: u32 = 5;
/// Wait before the first probe.
pub const PROBE_MIN: Duration = Duration::from_secs(1);
/// The longest wait between two probes: how late a recovery is noticed at worst.
pub const PROBE_MAX: Duration = Duration::from_secs(60);

/// Why a target is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Failing,
    Throttled,
    Broken,
}

/// What one call of the target showed of the target itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It took or rejected an event: it works.
    Alive,
    /// It took none, and that many deliveries failed at their first attempt.
    Failed(u32),
    /// It wants to be left alone, for this long if it said so.
    Throttled(Option<Duration>),
    /// It cannot work as configured.
    Broken,
}

/// Something that people should hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Held(Cause),
    Recovered { held_for: Duration },
}

/// What may be tried now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    All,
    /// One delivery, if no other probe runs.
    Probe,
    /// Nothing before that moment.
    Wait {
        until: Duration,
    },
}

#[derive(Clone, Copy, Debug)]
struct Hold {
    cause: Cause,
    since: Duration,
    /// Since when it has not been broken: what a person must mend is not given up by time.
    failing_since: Duration,
    next_probe: Duration,
    probes_failed: u32,
}

/// The state of one target; made anew at each start, closed.
#[derive(Clone, Debug, Default)]
pub struct Breaker {
    failures: u32,
    hold: Option<Hold>,
}

impl Breaker {
    #[must_use]
    pub fn permit(&self, now: Duration) -> Permit {
        match self.hold {
            None => Permit::All,
            Some(hold) if now >= hold.next_probe => Permit::Probe,
            Some(hold) => Permit::Wait { until: hold.next_probe },
        }
    }

    #[must_use]
    pub const fn is_held(&self) -> bool {
        self.hold.is_some()
    }

    /// For how long the target has been failing; `None` when it is not held, or broken.
    #[must_use]
    pub fn failing_for(&self, now: Duration) -> Option<Duration> {
        let hold = self.hold.filter(|hold| hold.cause != Cause::Broken)?;
        Some(now.saturating_sub(hold.failing_since))
    }

    /// Takes in what a call showed. `probe`: it was allowed by [`Permit::Probe`]; the failure of an
    /// earlier call that ends during the hold says nothing new.
    pub fn observe(&mut self, sign: Sign, probe: bool, now: Duration) -> Option<Change> {
        match sign {
            Sign::Alive => self.alive(probe, now),
            Sign::Failed(count) => {
                self.failures = self.failures.saturating_add(count);
                let held = self.hold.is_some();
                if (held && !probe) || (!held && self.failures < FAILURES_TO_OPEN) {
                    return None;
                }
                // One failure after a throttled time does not mean that it is down.
                let throttled = self.hold.is_some_and(|hold| hold.cause == Cause::Throttled);
                let few = self.failures < FAILURES_TO_OPEN;
                let cause = if throttled && few { Cause::Throttled } else { Cause::Failing };
                self.hold(cause, probe, Duration::ZERO, now)
            }
            Sign::Throttled(wait) => {
                self.hold(Cause::Throttled, probe, wait.unwrap_or_default(), now)
            }
            Sign::Broken => self.hold(Cause::Broken, probe, Duration::ZERO, now),
        }
    }

    fn alive(&mut self, probe: bool, now: Duration) -> Option<Change> {
        self.failures = 0;
        // A success that was under way when the destination throttled does not cancel its wish.
        let ends = |hold: &mut Hold| probe || hold.cause == Cause::Failing;
        let hold = self.hold.take_if(ends)?;
        Some(Change::Recovered { held_for: now.saturating_sub(hold.since) })
    }

    fn hold(&mut self, cause: Cause, probe: bool, wait: Duration, now: Duration) -> Option<Change> {
        let before = self.hold;
        let probes_failed = match before {
            Some(hold) => hold.probes_failed.saturating_add(u32::from(probe)),
            None => 0,
        };
        let interval = PROBE_MIN.saturating_mul(1 << probes_failed.min(16)).min(PROBE_MAX);
        let next_probe = now.saturating_add(interval.max(wait));
        let was_broken = before.is_some_and(|hold| hold.cause == Cause::Broken);
        self.hold = Some(Hold {
            cause,
            since: before.map_or(now, |hold| hold.since),
            failing_since: before.filter(|_| !was_broken).map_or(now, |hold| hold.failing_since),
            // A failed probe sets the next one; otherwise a wish already granted stays.
            next_probe: before
                .filter(|_| !probe)
                .map_or(next_probe, |hold| hold.next_probe.max(next_probe)),
            probes_failed,
        });
        (before.map(|hold| hold.cause) != Some(cause)).then_some(Change::Held(cause))
    }
}
