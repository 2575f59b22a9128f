//! From which addresses room was taken back lately: those that come back at once are first again, so that a newcomer of
//! another address has time to send its request.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::room::Owner;

/// The count of an address is halved for each of these periods without another one.
const HALVED_AFTER: Duration = Duration::from_secs(10);
const COUNT_MAX: u32 = 64;
/// Most addresses that are remembered.
const OWNERS_MAX: usize = 4096;

/// How often room was taken back from each address.
#[derive(Debug, Default)]
pub struct Displaced {
    by_owner: HashMap<Owner, Count>,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    count: u32,
    at: Instant,
}

impl Count {
    fn left(self, now: Instant) -> u32 {
        let periods = now.saturating_duration_since(self.at).as_secs() / HALVED_AFTER.as_secs();
        self.count.checked_shr(u32::try_from(periods).unwrap_or(u32::MAX)).unwrap_or(0)
    }
}

impl Displaced {
    /// Notes that room was taken back from an address.
    pub fn note(&mut self, owner: Owner, now: Instant) {
        if self.by_owner.len() >= OWNERS_MAX && !self.by_owner.contains_key(&owner) {
            self.by_owner.retain(|_, count| count.left(now) > 0);
            // With so many addresses, the memory of some of them would not help.
            if self.by_owner.len() >= OWNERS_MAX {
                self.by_owner.clear();
            }
        }
        let count = self.by_owner.entry(owner).or_insert(Count { count: 0, at: now });
        *count = Count { count: (count.left(now) + 1).min(COUNT_MAX), at: now };
    }

    /// What an address counts as holding in addition to what it holds: a whole share for each time.
    #[must_use]
    pub fn weight(&self, owner: Owner, share: u64, now: Instant) -> u64 {
        let count = self.by_owner.get(&owner).map_or(0, |count| count.left(now));
        u64::from(count) * share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_remembered_for_a_while() {
        let (mut displaced, now) = (Displaced::default(), Instant::now());
        let (one, other) = (Owner::from_bits(1), Owner::from_bits(2));
        for _ in 0..3 {
            displaced.note(one, now);
        }
        displaced.note(other, now);
        for (seconds, expected) in [(0, [300, 100]), (9, [300, 100]), (10, [100, 0]), (20, [0, 0])]
        {
            let then = now + Duration::from_secs(seconds);
            let weights = [one, other].map(|owner| displaced.weight(owner, 100, then));
            assert_eq!(weights, expected, "after {seconds} s");
        }
        for _ in 0..1000 {
            displaced.note(one, now);
        }
        assert_eq!(displaced.weight(one, 4, now), 4 * u64::from(COUNT_MAX));
        assert_eq!(displaced.weight(one, 4, now + 7 * HALVED_AFTER), 0);
        assert_eq!(displaced.weight(one, 4, now + 1_000 * HALVED_AFTER), 0);
    }

    #[test]
    fn the_memory_is_bounded() {
        let (mut displaced, now) = (Displaced::default(), Instant::now());
        for bits in 0..10 * OWNERS_MAX as u64 {
            displaced.note(Owner::from_bits(bits), now);
            assert!(displaced.by_owner.len() <= OWNERS_MAX);
        }
    }
}
