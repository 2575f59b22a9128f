//! What operators do with deliveries that wait: drop some or all, move them to another target.

use crate::Queue as _;
use dispatcher_model::{EventId, TargetNumber};

use super::model::{Delivery, Label, Presence, Status};
use super::operators::Act;
use super::walk::{Done, Walk};

impl Walk {
    /// What waits and is not claimed.
    fn waiting(&self, target: TargetNumber) -> Vec<Label> {
        let steady_ms = self.steady_ms();
        self.labels(target, |delivery| {
            delivery.status == Status::Open && !delivery.is_leased(steady_ms)
        })
    }

    pub(super) fn drop_waiting(&mut self, target: TargetNumber) -> Done {
        let mut candidates = self.waiting(target);
        let all = self.random.u8(..4) == 0;
        let mut events = None;
        if !all {
            self.random.shuffle(&mut candidates);
            candidates.truncate(self.random.usize(1..5));
            let ids = candidates.iter().filter_map(|label| self.model.id(*label));
            events = Some(ids.collect::<Vec<EventId>>());
        }
        let store = self.store();
        self.note(format!("drop of {events:?} that wait for {target:?}"));
        let answer = self.ask(store.drop_waiting(target, events, "not wanted".into()));
        if all && matches!(answer, Some(Ok(_))) {
            let depth = store.depth(target);
            if depth.pending != depth.in_flight {
                return Err(format!("drop left {depth:?} of {target:?}"));
            }
        }
        let becomes = Status::Dropped;
        self.acted(Act { what: "drop", target, candidates, becomes }, answer)
    }

    pub(super) fn move_waiting(&mut self, from: TargetNumber) -> Done {
        let to = self.target();
        if from == to {
            return Ok(());
        }
        let candidates = self.waiting(from);
        for label in &candidates {
            let never = || Delivery {
                status: Status::Dropped,
                durable: Status::Dropped,
                ..Delivery::new()
            };
            self.model.deliveries.entry((to.0, *label)).or_insert_with(never);
        }
        let store = self.store();
        self.note(format!("move from {from:?} to {to:?}"));
        let answer = self.ask(store.move_waiting(from, to, "moved".into()));
        let all = candidates.clone();
        let (what, becomes) = ("move", Status::Dropped);
        self.acted(Act { what, target: from, candidates, becomes }, answer)?;
        for label in all {
            self.moved(from, to, label)?;
        }
        Ok(())
    }

    /// Looks at what the other target got of a move.
    fn moved(&mut self, from: TargetNumber, to: TargetNumber, label: Label) -> Done {
        let (here, there) = ((from.0, label), (to.0, label));
        if self.model.deliveries[&there].status != Status::Dropped {
            return Ok(());
        }
        let fate = if self.unsure { None } else { self.fate(to.0, label)? };
        let step = self.step;
        let Some(delivery) = self.model.deliveries.get_mut(&there) else { return Ok(()) };
        match fate.as_ref().map(super::operators::status) {
            // The next start shows it.
            None => {
                delivery.since.push((step, Status::Open));
                self.model.moves.push((from.0, to.0, label));
            }
            Some(Status::Open) => {
                *delivery = Delivery { row: true, due_ms: None, ..Delivery::new() };
            }
            Some(_) => self.is_in_one_place(here, there)?,
        }
        Ok(())
    }

    /// A delivery that was moved is with one of both targets at least.
    pub(super) fn is_in_one_place(&self, here: (u16, Label), there: (u16, Label)) -> Done {
        let is_gone = self.model.events[here.1].presence != Presence::Stored;
        let is_dropped = |key| {
            let delivery: Option<&Delivery> = self.model.deliveries.get(key);
            delivery.is_some_and(|delivery| delivery.status == Status::Dropped)
        };
        if !is_gone && is_dropped(&here) && is_dropped(&there) {
            return Err(format!("a move from {here:?} to {there:?} lost the delivery"));
        }
        Ok(())
    }
}
