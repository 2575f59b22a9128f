//! Which keys an hour's rows certainly do not have, without looking at them.
//!
//! Nearly every key is new, and asking the index is the most expensive step for a key. A filter never
//! denies a key that was added; of others it lets about one in fifty through. Keys are hashes already:
//! their bits are used directly.
//!
//! A filter grows in links of twice the size, so that a quiet hour costs little. It is not stored: it
//! starts empty, with the hour's first row, and is missing for rows of an earlier run of the program.

use dispatcher_model::RepetitionKey;

/// All bits of a key lie in one such block, which is one line of the processor's cache.
const BLOCK_WORDS: usize = 8;

const BLOCK_BITS: u64 = 512;

/// Bits set for a key.
const KEY_BITS: u32 = 6;

/// Room for a key.
const KEY_ROOM_BITS: usize = 10;

const FIRST_LINK_BYTES: usize = 64 << 10;

const LINK_BYTES_MAX: usize = 4 << 20;

#[derive(Debug, Default)]
pub(crate) struct Filter {
    links: Vec<Link>,
}

#[derive(Debug)]
struct Link {
    words: Vec<u64>,
    /// How many more keys it takes.
    room: usize,
}

impl Filter {
    /// Bytes of memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.links.iter().map(Link::bytes).sum()
    }

    /// Makes room for that many keys; `false`: it would have to be larger than `bytes_max`.
    pub(crate) fn reserve(&mut self, keys: usize, bytes_max: usize) -> bool {
        if self.links.last().is_some_and(|link| link.room >= keys) {
            return true;
        }
        let next = self.links.last().map_or(FIRST_LINK_BYTES, |link| link.bytes() * 2);
        let needed = (keys * KEY_ROOM_BITS / 8).next_power_of_two();
        let bytes = next.min(LINK_BYTES_MAX).max(needed);
        if self.bytes() + bytes > bytes_max {
            return false;
        }
        self.links.push(Link { words: vec![0; bytes / 8], room: bytes * 8 / KEY_ROOM_BITS });
        true
    }

    /// Adds a key that room was made for.
    pub(crate) fn add(&mut self, key: &RepetitionKey) {
        if let Some(link) = self.links.last_mut() {
            link.room = link.room.saturating_sub(1);
            for (word, mask) in link.places(key) {
                link.words[word] |= mask;
            }
        }
    }

    /// `false`: it was never added.
    pub(crate) fn may_have(&self, key: &RepetitionKey) -> bool {
        let has = |link: &Link| link.places(key).all(|(word, mask)| link.words[word] & mask != 0);
        self.links.iter().any(has)
    }
}

impl Link {
    fn bytes(&self) -> usize {
        self.words.len() * 8
    }

    /// The words of a key and its bit in each: the first half of the key chooses the block, the other
    /// half the bits.
    #[expect(clippy::cast_possible_truncation, reason = "both are smaller than the list of words")]
    fn places(&self, key: &RepetitionKey) -> impl Iterator<Item = (usize, u64)> + use<> {
        let [block, bits] = [0, 8].map(|at| {
            key[at..at + 8].iter().fold(0u64, |word, byte| (word << 8) | u64::from(*byte))
        });
        let blocks = (self.words.len() / BLOCK_WORDS) as u128;
        let first = ((u128::from(block) * blocks) >> 64) as usize * BLOCK_WORDS;
        (0..KEY_BITS).map(move |i| {
            let bit = (bits >> (i * BLOCK_BITS.ilog2())) % BLOCK_BITS;
            (first + (bit / 64) as usize, 1 << (bit % 64))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As evenly spread as the sums that real keys are.
    fn key(n: u64) -> RepetitionKey {
        crate::contract::repetition_key("test", n)
    }

    #[test]
    fn no_key_that_was_added_is_denied_and_few_others_are_not() {
        let mut filter = Filter::default();
        assert!(!filter.may_have(&key(0)), "nothing was added");
        for n in 0..200_000 {
            assert!(filter.reserve(1, 4 << 20));
            filter.add(&key(n));
        }
        assert!(filter.links.len() > 1, "it grew");
        assert!((0..200_000).all(|n| filter.may_have(&key(n))));
        let wrong = (1_000_000..1_100_000).filter(|n| filter.may_have(&key(*n))).count();
        assert!(wrong < 10_000, "{wrong} of 100,000 keys that were never added may be there");
    }

    #[test]
    fn one_that_would_become_too_large_does_not_grow() {
        let mut filter = Filter::default();
        assert!(filter.reserve(10, FIRST_LINK_BYTES));
        assert!(filter.reserve(10, FIRST_LINK_BYTES), "there is room already");
        assert!(!filter.reserve(1_000_000, 2 * FIRST_LINK_BYTES));
        assert_eq!(filter.bytes(), FIRST_LINK_BYTES);
    }
}
