//! The circuit breaker: stops deliveries to a target that fails as a whole, and probes it until it works again.
//!
//! While it is closed, every delivery may be attempted. It opens after [`FAILURES_TO_OPEN`] failures or
//! [`REJECTIONS_TO_OPEN`] rejections without a success in between, or at once if the destination throttles or the target
//! is suspected or known to be broken. While it is open, one delivery at a time is attempted as a probe, at intervals that
//! double from [`PROBE_MIN`] to [`PROBE_MAX`], or from [`BROKEN_PROBE_MIN`] to [`BROKEN_PROBE_MAX`] if the target is known
//! to be broken. A probe that succeeds closes it. Time is a monotonic duration since any fixed moment, because a wall
//! clock that is set back must not keep it open for a year.

use std::time::Duration;

/// This many failures in a row mean that the target is down, and not that one event is bad.
pub const FAILURES_TO_OPEN: u32 = 5;
/// This many rejections in a row mean that the target refuses everything: further ones would only turn a whole
/// backlog into dead letters.
pub const REJECTIONS_TO_OPEN: u32 = 10;
/// Wait before the first probe.
pub const PROBE_MIN: Duration = Duration::from_secs(1);
/// The longest wait between two probes, which is also the longest time until a recovery is noticed.
pub const PROBE_MAX: Duration = Duration::from_secs(60);
/// The same for a target that is known to be broken. Rarely, because a destination may lock an account that logs in
/// with a wrong password again and again.
pub const BROKEN_PROBE_MIN: Duration = Duration::from_secs(60);
pub const BROKEN_PROBE_MAX: Duration = Duration::from_secs(15 * 60);

/// Why the circuit breaker is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Failing,
    Throttled,
    Broken,
}

/// What one call showed of the target itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It accepted an event, so it works.
    Alive,
    /// It accepted none and rejected this many: it answers, and perhaps nothing can please it.
    Rejected(u32),
    /// It did neither, and this many deliveries failed at their first attempt.
    Failed(u32),
    /// It throttles, for this long if it said so.
    Throttled(Option<Duration>),
    /// It refuses different events, and perhaps all; or it refused a probe.
    Suspected,
    /// It is known that it cannot work as configured.
    Broken,
}

/// A change that people should hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Held(Cause),
    Recovered { held_for: Duration },
}

/// What may be attempted now.
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
    /// Since when the target has been failing without being broken. Deliveries to a broken target, which a person
    /// must fix, are not given up by time.
    failing_since: Duration,
    next_probe: Duration,
    probes_failed: u32,
}

/// The circuit breaker of one target. Closed at each start.
#[derive(Clone, Debug, Default)]
pub struct Breaker {
    failures: u32,
    rejections: u32,
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

    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.hold.is_some_and(|hold| hold.cause == Cause::Broken)
    }

    /// So many calls in a row were rejected that the destination may reject everything.
    #[must_use]
    pub const fn rejects_everything(&self) -> bool {
        self.rejections >= REJECTIONS_TO_OPEN
    }

    /// When a throttled target gets the next delivery.
    #[must_use]
    pub fn throttled_until(&self) -> Option<Duration> {
        let hold = self.hold.filter(|hold| hold.cause == Cause::Throttled)?;
        Some(hold.next_probe)
    }

    /// For how long the target has been failing. `None`: the circuit breaker is closed, or the target is broken.
    #[must_use]
    pub fn failing_for(&self, now: Duration) -> Option<Duration> {
        let hold = self.hold.filter(|hold| hold.cause != Cause::Broken)?;
        Some(now.saturating_sub(hold.failing_since))
    }

    /// Takes in what a call showed. `probe`: [`Permit::Probe`] allowed the call. An earlier call that fails while the
    /// circuit breaker is open shows nothing new.
    pub fn observe(&mut self, sign: Sign, probe: bool, now: Duration) -> Option<Change> {
        match sign {
            Sign::Alive => {
                self.rejections = 0;
                self.alive(probe, now)
            }
            Sign::Rejected(count) => {
                self.rejections = self.rejections.saturating_add(count);
                match self.hold {
                    _ if self.rejections < REJECTIONS_TO_OPEN => self.alive(probe, now),
                    Some(_) if !probe => None,
                    _ => self.hold(Cause::Failing, probe, Duration::ZERO, now),
                }
            }
            Sign::Failed(count) => {
                self.failures = self.failures.saturating_add(count);
                let held = self.hold.is_some();
                if (held && !probe) || (!held && self.failures < FAILURES_TO_OPEN) {
                    return None;
                }
                // One failure after a throttle does not mean that the target is down.
                let throttled = self.hold.is_some_and(|hold| hold.cause == Cause::Throttled);
                let few = self.failures < FAILURES_TO_OPEN;
                let cause = if throttled && few { Cause::Throttled } else { Cause::Failing };
                self.hold(cause, probe, Duration::ZERO, now)
            }
            Sign::Throttled(wait) => {
                self.hold(Cause::Throttled, probe, wait.unwrap_or_default(), now)
            }
            Sign::Suspected if self.hold.is_some() && !probe => None,
            Sign::Suspected => {
                let throttled = self.hold.is_some_and(|hold| hold.cause == Cause::Throttled);
                let cause = if throttled { Cause::Throttled } else { Cause::Failing };
                self.hold(cause, probe, Duration::ZERO, now)
            }
            Sign::Broken => self.hold(Cause::Broken, probe, Duration::ZERO, now),
        }
    }

    fn alive(&mut self, probe: bool, now: Duration) -> Option<Change> {
        self.failures = 0;
        // A success that was already under way when the destination throttled does not end the throttle.
        let ends = |hold: &mut Hold| probe || hold.cause == Cause::Failing;
        let hold = self.hold.take_if(ends)?;
        Some(Change::Recovered { held_for: now.saturating_sub(hold.since) })
    }

    fn hold(&mut self, cause: Cause, probe: bool, wait: Duration, now: Duration) -> Option<Change> {
        let before = self.hold;
        let was_broken = before.is_some_and(|hold| hold.cause == Cause::Broken);
        let is_broken = cause == Cause::Broken;
        let probes_failed = match before {
            Some(hold) if is_broken == was_broken => {
                hold.probes_failed.saturating_add(u32::from(probe))
            }
            _ => 0,
        };
        let (shortest, longest) = match is_broken {
            true => (BROKEN_PROBE_MIN, BROKEN_PROBE_MAX),
            false => (PROBE_MIN, PROBE_MAX),
        };
        let interval = shortest.saturating_mul(1 << probes_failed.min(16)).min(longest);
        let next_probe = now.saturating_add(interval.max(wait));
        self.hold = Some(Hold {
            cause,
            since: before.map_or(now, |hold| hold.since),
            failing_since: before.filter(|_| !was_broken).map_or(now, |hold| hold.failing_since),
            // A failed probe sets the time of the next one. Otherwise a longer wait stays.
            next_probe: before
                .filter(|_| !probe)
                .map_or(next_probe, |hold| hold.next_probe.max(next_probe)),
            probes_failed,
        });
        (before.map(|hold| hold.cause) != Some(cause)).then_some(Change::Held(cause))
    }
}
