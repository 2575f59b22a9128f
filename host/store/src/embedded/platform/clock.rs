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

/// How far the wall clock was set in all, as the header of a segment says it: for a program that does not read the list of
/// [`OneSet`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClockSet {
    /// When it was found last, by that clock; zero if it was not set, or if that does not matter any more.
    pub at_ms: u64,
    /// How far it is ahead, or behind.
    pub ahead_min: i32,
    /// All of that may be time without a daemon, before the start of the process that says it.
    pub unsure: bool,
}

/// That the wall clock was set while the store was open, which a start cannot see, or that it was far from the log at a
/// start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OneSet {
    /// When, by the clock as it was from then on.
    pub at_ms: u64,
    /// How far it is ahead of the time that passed, or behind.
    pub ahead_ms: i64,
    /// All of it may be time without a daemon.
    pub unsure: bool,
    /// To within how many minutes it is known what the clock showed before it, see [`clock_merge`](super::clock_merge).
    pub spread_min: u32,
    /// Up to this epoch, what waits was made before it. `None`: up to the epoch of the segment that says it.
    pub rows_to: Option<u32>,
}

impl OneSet {
    /// So many bits are kept.
    pub(crate) const SPREAD_MIN_MAX: u32 = (1 << 30) - 1;

    pub(crate) const fn spread_ms(&self) -> u64 {
        self.spread_min as u64 * 60_000
    }
}

/// The times at which the clock was set that matter for repetition keys, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeySets(pub Vec<OneSet>);

impl KeySets {
    /// This moment on the clock as it was before each time, the newest first.
    pub(crate) fn before(&self, now_ms: u64) -> impl Iterator<Item = (u64, &OneSet)> {
        self.0.iter().rev().scan(now_ms, |now_ms, set| {
            *now_ms = now_ms.saturating_sub_signed(set.ahead_ms);
            Some((*now_ms, set))
        })
    }

    /// The earliest that any of these clocks would show now.
    pub(crate) fn earliest_ms(&self, now_ms: u64) -> u64 {
        let before = |(ms, set): (u64, &OneSet)| ms.saturating_sub(set.spread_ms());
        self.before(now_ms).map(before).min().unwrap_or(now_ms).min(now_ms)
    }
}

/// Nothing that waits is due later than that.
const DUE_MAX: Duration = Duration::from_secs(7 * 86_400);

/// How far the seen time went ahead of the time that passed: it starts like the wall clock, so with each start it went
/// as far ahead as that clock had been set since the one before, and back it never goes. Up to which epoch that is after
/// what waits, and how far in all.
#[derive(Debug, Default)]
pub(crate) struct ClockSets(Vec<(u32, u64)>);

impl ClockSets {
    /// `sets`: all that are known at a start, oldest first.
    pub(crate) fn new(sets: &[OneSet]) -> Self {
        let (mut ahead_ms, mut most_ms) = (0_i64, 0_i64);
        // What was set there and back within a process went by without a start that saw it.
        let starts = sets.chunk_by(|one, other| one.rows_to == other.rows_to);
        let seen = starts.filter_map(|sets| {
            let of_these = sets.iter().fold(0_i64, |sum, set| sum.saturating_add(set.ahead_ms));
            ahead_ms = ahead_ms.saturating_add(of_these);
            most_ms = most_ms.max(ahead_ms);
            Some((sets.first()?.rows_to?, most_ms.unsigned_abs()))
        });
        Self(seen.collect())
    }

    /// How far the seen time is ahead in all, in ms.
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
