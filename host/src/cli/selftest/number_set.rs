//! A set of numbers below a fixed bound, one bit for each: millions of events cost a few megabytes.

/// Most events of one selftest; a set of all of them takes 8 MiB.
pub(super) const EVENTS_MAX: u64 = 64 * 1024 * 1024;

/// Grows with its largest member.
#[derive(Clone, Debug, Default)]
pub(super) struct NumberSet {
    words: Vec<u64>,
    len: u64,
}

impl NumberSet {
    /// Adds a number below [`EVENTS_MAX`]; returns whether it is new. Larger numbers are ignored.
    pub(super) fn insert(&mut self, number: u64) -> bool {
        let Some((word, bit)) = place(number) else { return false };
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.len += u64::from(new);
        new
    }

    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// The numbers that are not in `other`, in order.
    pub(super) fn without<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u64> + 'a {
        self.words.iter().enumerate().flat_map(|(at, word)| {
            let left = word & !other.words.get(at).copied().unwrap_or(0);
            let set = (0..64).filter(move |bit| left >> bit & 1 == 1);
            set.map(move |bit| at as u64 * 64 + bit)
        })
    }
}

fn place(number: u64) -> Option<(usize, u64)> {
    let word = usize::try_from(number / 64).ok()?;
    (number < EVENTS_MAX).then_some((word, 1 << (number % 64)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_a_set(a in prop::collection::vec(0..300u64, 0..99), b in prop::collection::vec(0..300u64, 0..99)) {
            let (mut ours, mut others) = (NumberSet::default(), NumberSet::default());
            let mut model = BTreeSet::new();
            for number in &a {
                prop_assert_eq!(ours.insert(*number), model.insert(*number));
            }
            b.iter().for_each(|number| { others.insert(*number); });
            prop_assert_eq!(ours.len(), model.len() as u64);
            let left: Vec<u64> = model.into_iter().filter(|number| !b.contains(number)).collect();
            prop_assert_eq!(ours.without(&others).collect::<Vec<_>>(), left);
        }
    }

    #[test]
    fn numbers_above_the_bound_are_ignored() {
        let mut numbers = NumberSet::default();
        assert!(!numbers.insert(EVENTS_MAX));
        assert!(!numbers.insert(u64::MAX));
        assert_eq!((numbers.len(), numbers.words.len()), (0, 0));
    }
}
