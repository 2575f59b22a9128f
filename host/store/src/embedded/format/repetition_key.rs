//! The repetition key of an event, as the log and the index store it.

use dispatcher_model::RepetitionKey;

/// The key with the source in it, since two sources may use the same one.
///
/// A key is a hash already, so that a plain sum of the source's name keeps sources apart: no one who sends
/// events chooses the names.
pub(crate) fn key_of(source: &str, key: RepetitionKey) -> RepetitionKey {
    // FNV-1a.
    const START: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let sum = source.bytes().fold(START, |sum, byte| (sum ^ u128::from(byte)).wrapping_mul(PRIME));
    (u128::from_le_bytes(key) ^ sum).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_source_and_each_key_gives_another_one() {
        let sources = ["a", "b", "ab", "ba", "github", "github2"];
        let keys = [[0; 16], [1; 16], [255; 16]];
        let all: HashSet<RepetitionKey> =
            sources.iter().flat_map(|source| keys.map(|key| key_of(source, key))).collect();
        assert_eq!(all.len(), sources.len() * keys.len());
        assert_eq!(key_of("a", [7; 16]), key_of("a", [7; 16]));
    }
}
