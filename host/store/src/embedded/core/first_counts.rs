//! What an index that is made from the whole log counts and the threads of the store do not: they started from the end of
//! the log, and a part of it may be lost.

use std::sync::Mutex;

use dispatcher_model::TargetNumber;

use crate::embedded::platform::locks::lock;
use crate::embedded::state::apply::{State, TargetState};
use crate::embedded::state::counts::{Counts, Missed};

/// What was counted at the start.
pub(crate) struct FirstCounts {
    /// As of this place of the log.
    place: u64,
    counts: Mutex<(Vec<Counts>, Option<Vec<Missed>>)>,
}

impl FirstCounts {
    pub(crate) fn new(place: u64, states: &[TargetState]) -> Self {
        let counts = states.iter().map(|state| state.counts).collect();
        Self { place, counts: Mutex::new((counts, None)) }
    }

    /// An index is made that has read the log up to there.
    pub(crate) fn begin(&self, from: u64) {
        if from <= self.place {
            lock(&self.counts).1 = None;
        }
    }

    /// The index reads what is at `lsn` next, if there is something. Both count the same from the place of the start on.
    pub(crate) fn at(&self, lsn: u64, state: &State) {
        if lsn < self.place {
            return;
        }
        let (first, missed) = &mut *lock(&self.counts);
        missed.get_or_insert_with(|| {
            let both = first.iter().zip(&state.targets);
            both.map(|(first, state)| state.counts.beyond(*first)).collect()
        });
    }

    /// The index is made. `before`: what the state counted before its rows were looked at. Returns what was missed.
    pub(crate) fn end(&self, before: &[Counts], state: &State) -> Vec<(TargetNumber, Missed)> {
        let (first, missed) = &mut *lock(&self.counts);
        let missed = missed.take().unwrap_or_default();
        let found = (0..).zip(first).zip(missed).zip(before.iter().zip(&state.targets));
        let found = found.map(|(((number, first), missed), (before, state))| {
            let missed = missed.and(state.counts.beyond(*before));
            first.correct(missed);
            (TargetNumber(number), missed)
        });
        found.filter(|(_, missed)| *missed != Missed::default()).collect()
    }
}
