//! The clocks of the store: the wall clock for what people read, the steady one for leases, and the seen time
//! for everything that waits.
//!
//! The store reads no other clock, so that a test can move time by hours and years and set the wall
//! clock back.

use std::time::Duration;

use dispatcher_model::Timestamp;
use tokio::time::Instant;

use crate::BoxFuture;

/// Longest lease: more than any process should need, and no overflow.
const LEASE_MAX: Duration = Duration::from_secs(365 * 86_400);

/// Seen time and the time of day that differ by less are the same: neither was set.
const SAME: Duration = Duration::from_secs(1);

/// Later than every event.
pub(crate) const END_OF_TIME: Timestamp = Timestamp::from_millis(u64::MAX);

/// All clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub wall: Timestamp,
    pub steady: Instant,
    /// Due times are compared with this one, see [`SeenTime`].
    pub seen: Timestamp,
}

impl Now {
    pub(crate) fn after(&self, lease: Duration) -> Instant {
        self.steady + lease.min(LEASE_MAX)
    }

    /// The time of day as it should be if it was right at `before`.
    pub(crate) fn expected(&self, before: Self) -> Timestamp {
        before.wall.plus(self.steady.saturating_duration_since(before.steady))
    }

    /// A due time, for people.
    pub(crate) fn show(&self, due_ms: u64) -> Timestamp {
        let (due, seen) = (Timestamp::from_millis(due_ms), self.seen);
        if self.wall.since(seen).max(seen.since(self.wall)) < SAME {
            return due;
        }
        let late_ms = u64::try_from(seen.since(due).as_millis()).unwrap_or(u64::MAX);
        let at = self.wall.plus(due.since(seen));
        Timestamp::from_millis(at.as_millis().saturating_sub(late_ms))
    }
}

/// That the wall clock was set while the store was open, and is ahead of the time that passed. A start cannot see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClockSet {
    /// When it was found last, by that clock; zero if it was not set, or if that does not matter any more.
    pub at_ms: u64,
    /// How far it is ahead, or behind.
    pub ahead_min: i32,
    /// All of that may be time without a daemon, before the start of the process that says it.
    pub unsure: bool,
}

/// Most times that are known apart at which the clock was set.
pub(crate) const KEY_SETS: usize = 4;

/// When the clock was set, by the clock as it was then, and how far it is ahead since. Zero: it was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeySets(pub [(u64, i64); KEY_SETS]);

/// Nothing that waits is due later than that.
const DUE_MAX: Duration = Duration::from_secs(7 * 86_400);

/// How far the clock was ahead of the time that passed, as the segments of the log say it: the epoch in which each was made,
/// and what it says. The seen time starts like the wall clock, so with each start it went ahead as far as that clock had
/// been set since the one before.
#[derive(Debug, Default)]
pub(crate) struct ClockSets(Vec<(u32, u64)>);

impl ClockSets {
    /// `segments`: oldest first. `stopped_ms`: how much time may have passed without a daemon before `epoch` began.
    pub(crate) fn new(
        segments: impl Iterator<Item = (u32, ClockSet)>,
        (epoch, stopped_ms): (u32, u64),
    ) -> Self {
        // What passed before an epoch moves what was due before it, and nothing of its own.
        let before =
            |epoch: u32, unsure: bool| if unsure { epoch.saturating_sub(1) } else { epoch };
        let said = segments.map(|(epoch, set)| (before(epoch, set.unsure), set.ahead_ms()));
        let mut sets = Self(said.collect());
        sets.0.push((before(epoch, true), sets.ahead_ms().saturating_add(stopped_ms)));
        sets
    }

    /// How far the clock is ahead in all, in ms.
    pub(crate) fn ahead_ms(&self) -> u64 {
        self.0.last().map_or(0, |(_, ahead_ms)| *ahead_ms)
    }

    /// The seen time of a due time of that epoch.
    pub(crate) fn due(&self, (epoch, due_ms): (u32, u64), now: Now) -> Timestamp {
        let before = self.0.iter().rev().find(|(made, _)| *made < epoch);
        let ahead_ms = self.ahead_ms().saturating_sub(before.map_or(0, |(_, ahead_ms)| *ahead_ms));
        let moved = Timestamp::from_millis(due_ms.saturating_add(ahead_ms));
        let is_possible = moved <= now.seen.plus(DUE_MAX);
        if is_possible { moved } else { Timestamp::from_millis(due_ms) }
    }
}

impl ClockSet {
    /// How far the clock is ahead, in ms; zero if it is not.
    pub(crate) fn ahead_ms(self) -> u64 {
        u64::try_from(self.ahead_min).unwrap_or_default().saturating_mul(60_000)
    }
}

pub(crate) trait Clock: Send + Sync + 'static {
    fn wall(&self) -> Timestamp;
    fn steady(&self) -> Instant;
    /// Completes at that moment of the steady clock.
    fn sleep_until(&self, at: Instant) -> BoxFuture<'_, ()>;

    fn wall_ms(&self) -> u64 {
        self.wall().as_millis()
    }
}

/// Time as the daemon has seen it pass: it starts like the wall clock, but not before the last record of the
/// log, and then follows the steady clock, wherever the wall clock is set meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SeenTime {
    start: Timestamp,
    origin: Instant,
}

impl SeenTime {
    /// `last_ms`: when the last record of the log was made.
    pub(crate) fn starting(clock: &dyn Clock, last_ms: u64) -> Self {
        let start = clock.wall().max(Timestamp::from_millis(last_ms));
        Self { start, origin: clock.steady() }
    }

    pub(crate) fn now(&self, clock: &dyn Clock) -> Now {
        let steady = clock.steady();
        let seen = self.start.plus(steady.saturating_duration_since(self.origin));
        Now { wall: clock.wall(), steady, seen }
    }
}

/// The clocks of the machine.
#[derive(Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn wall(&self) -> Timestamp {
        Timestamp::from(std::time::SystemTime::now())
    }

    fn steady(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep_until(at))
    }
}
