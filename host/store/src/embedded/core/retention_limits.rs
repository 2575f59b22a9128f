//! The limits of retention, and what wakes the thread that removes segments.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, PoisonError, RwLock};
use std::time::Duration;

use crate::REPEAT_WINDOW_MAX;
use crate::embedded::log::segments::Segments;
use crate::embedded::platform::clock::{KeySets, Now, OneSet};
use crate::embedded::platform::clock_trust::Wall;
use crate::embedded::platform::locks::{lock, read_lock};
use crate::embedded::settings::Settings;

/// Repetition keys are kept no longer.
const KEYS_AGE_MAX: Duration = REPEAT_WINDOW_MAX;

#[derive(Default)]
struct Bell {
    rung: bool,
    stop: bool,
}

pub(crate) struct RetentionLimits {
    pub age_ms: Option<u64>,
    pub bytes_max: Option<u64>,
    pub wall: Mutex<Wall>,
    /// Targets whose oldest deliveries may be given up when the log is full.
    pub overflow: RwLock<BTreeSet<u16>>,
    /// Names of the targets that still need the oldest segment, for messages.
    pub kept_by: Mutex<String>,
    bell: Mutex<Bell>,
    rung: Condvar,
}

impl RetentionLimits {
    /// `known`: what the newest segment says of the clock. `epoch`: of this process.
    pub(crate) fn new(
        settings: &Settings,
        now: Now,
        (last_wall_ms, known): (u64, &[OneSet]),
        epoch: u32,
    ) -> Self {
        Self {
            age_ms: settings.retention_age_ms,
            bytes_max: settings.retention_bytes,
            wall: Mutex::new(Wall::new(now, last_wall_ms, known, epoch)),
            overflow: RwLock::default(),
            kept_by: Mutex::default(),
            bell: Mutex::default(),
            rung: Condvar::new(),
        }
    }

    /// Whether the wall clock is trusted to compute ages.
    pub(crate) fn is_clock_trusted(&self, now: Now) -> bool {
        lock(&self.wall).is_trusted(now)
    }

    /// The time of day for ages of what is removed: a clock that was set forward while the daemon runs makes nothing
    /// older than the time that passed.
    pub(crate) fn now_ms(&self, now: Now) -> u64 {
        let age = Duration::from_millis(self.age_ms.unwrap_or_default());
        let ahead_ms = lock(&self.wall).ahead_ms(age, now);
        now.wall.as_millis().saturating_sub_signed(ahead_ms.max(0))
    }

    /// When the clock was set, for keys of that age.
    pub(crate) fn keys(&self, age: Duration, now: Now) -> KeySets {
        lock(&self.wall).key_sets(age, now)
    }

    /// Everything that something kept may have met.
    fn longest(&self) -> Duration {
        Duration::from_millis(self.age_ms.unwrap_or_default()).max(KEYS_AGE_MAX)
    }

    /// What a new segment says of the clock, so that a start knows it as long as it matters; and the number for
    /// [`Self::clock_said`].
    pub(crate) fn clock_known(&self, now: Now) -> (Vec<OneSet>, u64) {
        lock(&self.wall).known(self.longest(), now)
    }

    /// The newest segment says that.
    pub(crate) fn clock_said(&self, number: u64) {
        lock(&self.wall).said(number);
    }

    /// Whether there is something of the clock that a new segment has to say.
    pub(crate) fn has_clock_news(&self, now: Now) -> bool {
        lock(&self.wall).has_news(self.longest(), now)
    }

    pub(crate) fn may_overflow(&self, target: u16) -> bool {
        read_lock(&self.overflow).contains(&target)
    }

    /// Whether the log would exceed its limit with so many bytes more.
    pub(crate) fn is_full(&self, segments: &Segments, more_bytes: u64) -> bool {
        self.bytes_max.is_some_and(|max| segments.bytes() + more_bytes > max)
    }

    /// Whether to remove the oldest segment now, so that space is free before it is needed.
    pub(crate) fn wants_room(&self, segments: &Segments, segment_bytes: u64) -> bool {
        self.is_full(segments, 2 * segment_bytes)
    }

    pub(crate) fn ring(&self) {
        lock(&self.bell).rung = true;
        self.rung.notify_one();
    }

    pub(crate) fn stop(&self) {
        lock(&self.bell).stop = true;
        self.rung.notify_one();
    }

    /// Sleeps until it is woken, or for so long; `true`: the store is closing.
    pub(crate) fn wait(&self, longest: Option<Duration>) -> bool {
        let quiet = |bell: &mut Bell| !bell.rung && !bell.stop;
        let bell = lock(&self.bell);
        let mut bell = match longest {
            None => self.rung.wait_while(bell, quiet).unwrap_or_else(PoisonError::into_inner),
            Some(longest) => {
                let waited = self.rung.wait_timeout_while(bell, longest, quiet);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        bell.rung = false;
        bell.stop
    }
}
