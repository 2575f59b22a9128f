//! How long repetition keys have rows.

pub(crate) const HOUR_MS: u64 = 3_600_000;

#[expect(clippy::cast_possible_truncation, reason = "hours since 1970 fit for 490,000 years")]
pub(crate) const fn hour_of(ms: u64) -> u32 {
    (ms / HOUR_MS) as u32
}

/// Which repetition keys have rows: those of the longest window, and of the hour in which it begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeysKept {
    pub now_ms: u64,
    pub window_ms: u64,
}

impl KeysKept {
    /// Hours before this one have no rows.
    pub(crate) const fn hours_from(self) -> u32 {
        hour_of(self.now_ms.saturating_sub(self.window_ms.saturating_add(HOUR_MS)))
    }
}
