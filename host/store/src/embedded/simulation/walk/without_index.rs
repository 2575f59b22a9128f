//! A store that was closed and lost its index: what goes on from the log alone until there is a new one.

use crate::Queue;
use crate::embedded::core::machine::Machine;
use crate::embedded::simulation::hardware::gate::Gate;

use super::crash::End;
use super::walk::{Done, Walk};

const STEPS_MAX: usize = 10;

impl Walk {
    /// Only after an orderly close: without an index the fate of a delivery is unknown.
    pub(super) fn without_index(&mut self) -> Done {
        if self.unsure || self.has_met_faults() {
            return Ok(());
        }
        self.end(End::Close);
        self.index_place.delete();
        self.note("closed, index deleted");
        let mut machine = Machine { read_at_open_bytes_max: 0, ..self.machine() };
        let gate = self.plan.threads.then(|| {
            let (gate, index) = Gate::before(machine.index.clone());
            machine.index = index;
            gate
        });
        self.open_on(&machine)?;
        self.steps_without_index()?;
        // Threads rebuild the index as soon as they can.
        drop(gate);
        self.running.as_mut().ok_or("no store is open")?.rebuild_index()?;
        self.check_open(true)
    }

    fn steps_without_index(&mut self) -> Done {
        if self.store().rebuilding().is_none() {
            // The log is so short that it was read at once.
            return Ok(());
        }
        self.is_without_index = true;
        for _ in 0..self.random.usize(..STEPS_MAX) {
            self.counts.steps_without_index += 1;
            self.common_step()?;
            self.check_live()?;
        }
        self.is_without_index = false;
        Ok(())
    }
}
