//! Counts what was refused for lack of room, for `status`.

use std::sync::atomic::{AtomicU64, Ordering};

/// What there was too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    Connections,
    /// Of bodies.
    BytesInFlight,
    /// Too many requests wait for the disk.
    Disk,
    /// Above the rate limit of a source.
    Rate,
}

impl Shortage {
    pub const ALL: [Self; 4] = [Self::Connections, Self::BytesInFlight, Self::Disk, Self::Rate];

    /// Its word for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::BytesInFlight => "bytes_in_flight",
            Self::Disk => "disk",
            Self::Rate => "rate",
        }
    }
}

/// See the module's description.
#[derive(Debug, Default)]
pub struct Overload {
    /// In the order of [`Shortage::ALL`].
    counts: [AtomicU64; Shortage::ALL.len()],
    /// When each last happened, in ms since 1970; 0: never.
    last_ms: [AtomicU64; Shortage::ALL.len()],
}

impl Overload {
    /// A connection or a request was refused.
    pub fn refused(&self, shortage: Shortage, at_ms: u64) {
        self.counts[shortage as usize].fetch_add(1, Ordering::Relaxed);
        self.last_ms[shortage as usize].store(at_ms, Ordering::Relaxed);
    }

    /// How often that happened since the start.
    #[must_use]
    pub fn count(&self, shortage: Shortage) -> u64 {
        self.counts[shortage as usize].load(Ordering::Relaxed)
    }

    /// When that last happened, in ms since 1970.
    #[must_use]
    pub fn last_of(&self, shortage: Shortage) -> Option<u64> {
        Some(self.last_ms[shortage as usize].load(Ordering::Relaxed)).filter(|at_ms| *at_ms > 0)
    }

    /// When any last happened, and what there was too little of.
    #[must_use]
    pub fn last(&self) -> Option<(u64, Shortage)> {
        let each = Shortage::ALL.into_iter();
        each.filter_map(|shortage| Some((self.last_of(shortage)?, shortage))).max_by_key(|it| it.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shortage_is_counted_by_itself() {
        let overload = Overload::default();
        assert_eq!(overload.last(), None);
        for (times, shortage) in (1..).zip(Shortage::ALL) {
            (0..times).for_each(|_| overload.refused(shortage, times));
            assert_eq!(
                (overload.count(shortage), overload.last()),
                (times, Some((times, shortage)))
            );
        }
        assert_eq!(overload.count(Shortage::Connections), 1);
        assert_eq!(overload.last_of(Shortage::Connections), Some(1), "others do not hide it");
    }
}
