//! A set of event numbers kept as runs: what of a target is settled above its cursor.

use std::collections::BTreeMap;

/// Half-open runs, ascending, neither touching nor overlapping.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Runs(BTreeMap<u64, u64>);

impl Runs {
    /// Adds `from..to`.
    pub(crate) fn insert(&mut self, mut from: u64, mut to: u64) {
        if from >= to {
            return;
        }
        // Merges every run that overlaps or touches, the last first.
        while let Some((&start, &end)) = self.0.range(..=to).next_back() {
            if end < from {
                break;
            }
            from = from.min(start);
            to = to.max(end);
            self.0.remove(&start);
        }
        self.0.insert(from, to);
    }

    pub(crate) fn insert_all(&mut self, other: &Self) {
        for (&from, &to) in &other.0 {
            self.insert(from, to);
        }
    }

    /// Where the run that contains `number` ends.
    pub(crate) fn end_of(&self, number: u64) -> Option<u64> {
        let (_, &end) = self.0.range(..=number).next_back()?;
        (number < end).then_some(end)
    }

    /// The first number from there on that no run contains.
    pub(crate) fn gap_from(&self, number: u64) -> u64 {
        // Runs that touch are one.
        self.end_of(number).unwrap_or(number)
    }

    pub(crate) fn contains(&self, number: u64) -> bool {
        self.end_of(number).is_some()
    }

    /// Takes out everything below `floor`.
    pub(crate) fn forget_below(&mut self, floor: u64) {
        while let Some((&start, &end)) = self.0.first_key_value() {
            if start >= floor {
                break;
            }
            self.0.remove(&start);
            if end > floor {
                self.0.insert(floor, end);
            }
        }
    }

    /// What of it lies in `from..to`.
    pub(crate) fn within(&self, from: u64, to: u64) -> Self {
        let mut within = Self::default();
        for (&start, &end) in self.0.range(..to) {
            within.insert(start.max(from), end.min(to));
        }
        within
    }

    /// How many runs: what the set costs.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// As distances: from `base` to the first run, its length, from there to the next, and so on.
    pub(crate) fn to_deltas(&self, base: u64) -> Vec<u64> {
        let mut at = base;
        let mut deltas = Vec::with_capacity(self.0.len() * 2);
        for (&start, &end) in &self.0 {
            deltas.extend([start.wrapping_sub(at), end - start]);
            at = end;
        }
        deltas
    }

    pub(crate) fn from_deltas(base: u64, deltas: &[u64]) -> Self {
        let mut at = base;
        let mut runs = Self::default();
        for pair in deltas.chunks_exact(2) {
            let start = at.wrapping_add(pair[0]);
            at = start.saturating_add(pair[1]);
            runs.insert(start, at);
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_as_a_set_of_numbers(
            ops in proptest::collection::vec((any::<bool>(), 0u64..60, 0u64..6), 0..40),
        ) {
            let (mut runs, mut model) = (Runs::default(), BTreeSet::new());
            for (insert, from, len) in ops {
                if insert {
                    runs.insert(from, from + len);
                    model.extend(from..from + len);
                } else {
                    runs.forget_below(from);
                    model.retain(|n| *n >= from);
                }
                for n in 0..70 {
                    prop_assert_eq!(runs.contains(n), model.contains(&n), "{}", n);
                }
                let starts = model.iter().filter(|n| **n == 0 || !model.contains(&(**n - 1))).count();
                prop_assert_eq!(runs.len(), starts);
                prop_assert_eq!(Runs::from_deltas(3, &runs.to_deltas(3)), runs.clone());
            }
        }
    }

    #[test]
    fn absurd_distances_do_not_panic() {
        let runs = Runs::from_deltas(u64::MAX, &[u64::MAX, u64::MAX, 1, u64::MAX, 7]);
        assert!(runs.len() <= 2);
    }
}
