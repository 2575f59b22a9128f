//! Makes one of two times at which the clock was set, when there are more than can be kept.
//!
//! What the clock showed between the two is then known less well. The pair is taken of which that costs least: where a
//! later clock shows the same, it costs nothing; otherwise the other clock is known only to within a spread.

use super::clock::OneSet;

/// Most times at which the clock was set that are known one by one.
pub(crate) const SETS_MAX: usize = 64;

const MINUTE_MS: u64 = 60_000;

/// How far a clock is ahead of the one that shows the time now, and to within what that is known.
#[derive(Clone, Copy)]
struct Shown {
    by_ms: i64,
    spread_ms: u64,
}

impl Shown {
    /// Whether it includes all that the other one may have shown.
    const fn includes(self, other: Self) -> bool {
        let apart = self.by_ms.abs_diff(other.by_ms);
        apart.saturating_add(other.spread_ms) <= self.spread_ms
    }
}

/// The place of the two that are made one, which is that of the first, and what they become.
pub(crate) fn cheapest(sets: &[OneSet]) -> Option<(usize, OneSet)> {
    let shown = shown(sets);
    let one = |at: usize| {
        let (first, second) = (sets[at], sets[at + 1]);
        // Between the two the clock showed this.
        let lost = shown[at + 1];
        let is_shown_later = shown[at + 2..].iter().any(|later| later.includes(lost));
        let spread_min = match is_shown_later {
            true => first.spread_min,
            false => first
                .spread_min
                .max(minutes(first.ahead_ms.unsigned_abs().saturating_add(lost.spread_ms))),
        };
        let is_other = (first.rows_to, first.unsure) != (second.rows_to, second.unsure);
        let one = OneSet {
            ahead_ms: second.ahead_ms.saturating_add(first.ahead_ms),
            unsure: second.unsure && first.unsure,
            spread_min,
            ..second
        };
        ((is_other, spread_min, at), one)
    };
    let ones = (0..sets.len().saturating_sub(1)).map(one);
    ones.min_by_key(|(cost, _)| *cost).map(|((.., at), one)| (at, one))
}

/// What the clock showed before each of the times, and what it shows now.
fn shown(sets: &[OneSet]) -> Vec<Shown> {
    let mut shown = vec![Shown { by_ms: 0, spread_ms: 0 }; sets.len() + 1];
    for (at, set) in sets.iter().enumerate().rev() {
        let by_ms = shown[at + 1].by_ms.saturating_sub(set.ahead_ms);
        shown[at] = Shown { by_ms, spread_ms: set.spread_ms() };
    }
    shown
}

fn minutes(ms: u64) -> u32 {
    u32::try_from(ms.div_ceil(MINUTE_MS)).unwrap_or(u32::MAX).min(OneSet::SPREAD_MIN_MAX)
}
