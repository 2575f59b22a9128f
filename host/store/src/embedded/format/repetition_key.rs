//! The repetition key of an event, as the log and the index store it.

use sha2::{Digest, Sha256};

use super::record::DedupKey;

pub(crate) fn key_of(source: &str, key: &str) -> DedupKey {
    let mut sum = Sha256::new();
    // The length keeps ("ab", "c") apart from ("a", "bc").
    sum.update((source.len() as u64).to_le_bytes());
    sum.update(source.as_bytes());
    sum.update(key.as_bytes());
    let sum: [u8; 32] = sum.finalize().into();
    let mut key = DedupKey::default();
    key.copy_from_slice(&sum[..16]);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_and_key_do_not_run_into_each_other() {
        assert_ne!(key_of("ab", "c"), key_of("a", "bc"));
        assert_eq!(key_of("a", "b"), key_of("a", "b"));
    }
}
