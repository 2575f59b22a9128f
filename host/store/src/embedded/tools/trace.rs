//! Finds deliveries whose outcome is lost to damage: they may have been delivered or wait for a retry.
//!
//! An outcome is lost if later records say that the target is done with everything up to that delivery,
//! but none says what became of it. Only deliveries that were open at the damage can be concerned, and a
//! target has a limited number of them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use dispatcher_model::{EventId, Timestamp};

use crate::embedded::format::entry::Effects;
use crate::embedded::format::event_number::{lsn_of, number};
use crate::embedded::format::record::{self, ActKind, from_deltas};
use crate::embedded::format::runs::Runs;
use crate::embedded::limits::WINDOW_MAX;
use crate::embedded::state::apply::State;
use crate::embedded::tools::damage::{Damage, Unsure};
use crate::embedded::tools::segments::Segment;
use crate::embedded::tools::walk::{Seen, Visitor, Walk};
use crate::embedded::tools::{IDS_MAX, Progress, ToolError};

/// Most places that are traced; with more damage, such a list does not help.
pub(super) const TRACES_MAX: usize = 64;
/// Most deliveries of a target that are traced: the open ones, and those that one more record may end.
const OPEN_MAX: usize = 4 * WINDOW_MAX;

/// The open deliveries of the targets at a place of damage.
pub(super) struct Trace {
    /// Its place in the report.
    pub place: usize,
    from: u64,
    targets: Vec<Open>,
}

struct Open {
    cursor: u64,
    done: Runs,
    /// Not known to be settled, with their times of receipt.
    left: BTreeMap<u64, u64>,
}

impl Trace {
    pub(super) fn new(place: usize, damage: &Damage, state: &State) -> Self {
        let open = state.targets.iter().map(|target| Open {
            cursor: target.cursor,
            done: target.done.clone(),
            left: BTreeMap::new(),
        });
        Self { place, from: damage.from, targets: open.collect() }
    }

    fn take(&mut self, seen: &Seen<'_>) {
        let lsn = seen.header.lsn;
        match &seen.entry.effects {
            Effects::Request { .. } if lsn < self.from => {
                let Ok(request) = record::decode::<record::Request<'_>>(seen.payload) else {
                    return;
                };
                for (place, event) in (0u16..).zip(&request.events) {
                    let number = number(lsn, place);
                    for target in &event.targets {
                        if let Some(open) = self.targets.get_mut(usize::from(*target))
                            && number >= open.cursor
                            && open.left.len() < OPEN_MAX
                            && !open.done.contains(number)
                        {
                            open.left.insert(number, request.received_ms);
                        }
                    }
                }
            }
            _ if lsn < self.from => {}
            Effects::Settlements(record) => {
                for settled in &record.targets {
                    let others = settled.others.iter().map(|settled| settled.number);
                    self.settled(settled.target, from_deltas(&settled.delivered).chain(others));
                }
            }
            Effects::DeadRange(record) => {
                let range = record;
                if let Some(open) = self.targets.get_mut(usize::from(range.target)) {
                    let alive = |number: &u64| range.kept.binary_search(number).is_ok();
                    let died = range.from..range.to;
                    open.left.retain(|number, _| !died.contains(number) || alive(number));
                }
            }
            Effects::Act(record) => {
                if let ActKind::DeadLetters(change) = &record.what {
                    self.settled(record.target, from_deltas(&change.replayed));
                }
            }
            Effects::Moved(record) => {
                for (target, _) in &record.rows {
                    self.settled(*target, std::iter::once(record.number));
                }
            }
            _ => {}
        }
    }

    fn settled(&mut self, target: u16, numbers: impl Iterator<Item = u64>) {
        if let Some(open) = self.targets.get_mut(usize::from(target)) {
            for number in numbers {
                open.left.remove(&number);
            }
        }
    }

    /// Settled for the target, but no record says how.
    fn unsure(self, state: &State, store: u16) -> Vec<Unsure> {
        let mut all = Vec::new();
        for (open, target) in self.targets.into_iter().zip(&state.targets) {
            let through = |number| number < target.cursor || target.done.contains(number);
            let left = open.left.into_iter().filter(|(number, _)| through(*number));
            let ids = left.map(|(n, ms)| EventId::new(Timestamp::from_millis(ms), store, n));
            let events: Vec<EventId> = ids.collect();
            if !events.is_empty() {
                let count = events.len() as u64;
                let events = events.into_iter().take(IDS_MAX).collect();
                all.push(Unsure { target: target.name.clone(), count, events });
            }
        }
        all
    }
}

struct Tracer(Vec<Trace>);

impl Visitor for Tracer {
    fn frame(&mut self, seen: &Seen<'_>) -> ControlFlow<()> {
        for trace in &mut self.0 {
            trace.take(seen);
        }
        ControlFlow::Continue(())
    }
}

/// Reads on from the first of the places, and adds the lost outcomes to each damage. `state` is the state
/// at the end of the log.
pub(super) fn trace(
    folder: &Path,
    all: &[Segment],
    traces: Vec<Trace>,
    state: &State,
    damages: &mut [Damage],
    progress: &mut Progress<'_>,
) -> Result<(), ToolError> {
    let cursors = traces.iter().flat_map(|trace| trace.targets.iter().map(|open| open.cursor));
    let (Some(first), Some(store)) =
        (cursors.min(), all.iter().find_map(|segment| Some(segment.header?.identity.store)))
    else {
        return Ok(());
    };
    let from = all.partition_point(|segment| segment.base <= lsn_of(first)).saturating_sub(1);
    let mut tracer = Tracer(traces);
    Walk::new(folder, &mut tracer, &mut |done, all| progress(done, all)).over(&all[from..])?;
    for trace in tracer.0 {
        if let Some(damage) = damages.get_mut(trace.place) {
            damage.unsure = trace.unsure(state, store);
        }
    }
    Ok(())
}
