//! The key by which an event is recognized when it comes again, and the keyed hash that makes it.
//!
//! The hash is SipHash-2-4 with 128 bits. Its secret makes it safe: someone who writes a part of an event, such as the
//! title of an issue, cannot give it the key of another event. It costs a tenth of SHA-256 without SHA instructions.

use std::fmt;
use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher24};

/// A hash of what distinguishes an event from the others of its source.
pub type RepetitionKey = [u8; 16];

/// The secret of a store's repetition keys: random, and the same as long as the store exists.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct RepetitionSeed(u64);

impl RepetitionSeed {
    #[must_use]
    pub const fn new(random: u64) -> Self {
        Self(random)
    }

    #[must_use]
    pub fn hasher(self) -> KeyHasher {
        KeyHasher(SipHasher24::new_with_keys(self.0, 0))
    }
}

impl fmt::Debug for RepetitionSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RepetitionSeed(***)")
    }
}

/// Makes a key of bytes. How they are split into pieces makes no difference.
pub struct KeyHasher(SipHasher24);

impl KeyHasher {
    pub fn update(&mut self, piece: &[u8]) {
        self.0.write(piece);
    }

    #[must_use]
    pub fn finish(self) -> RepetitionKey {
        self.0.finish128().as_bytes()
    }
}

impl fmt::Debug for KeyHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHasher")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_the_secret_and_the_bytes_counts() {
        let key = |random, pieces: &[&[u8]]| {
            let mut hash = RepetitionSeed::new(random).hasher();
            for piece in pieces {
                hash.update(piece);
            }
            hash.finish()
        };
        let bytes: Vec<u8> = (0..=255).collect();
        let whole = key(7, &[&bytes]);
        assert_eq!(key(7, &[&bytes[..3], &bytes[3..70], &[], &bytes[70..]]), whole);
        assert_ne!(key(7, &[&bytes[1..]]), whole);
        for bit in 0..64 {
            assert_ne!(key(7 ^ (1 << bit), &[&bytes]), whole);
        }
    }
}
