//! Ends and starts: orderly closes, killed processes, power cuts, lost indexes.

use crate::Queue;
use crate::embedded::core::machine::Machine;
use crate::embedded::platform::locks::write_lock;
use dispatcher_model::TargetNumber;

use super::running::Running;
use super::walk::{Done, Walk};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Close,
    Kill,
    PowerCut,
}

impl Walk {
    /// Ends the store in some way and opens it again.
    pub(super) fn crash(&mut self) -> Done {
        let clean = !self.unsure && !self.has_met_faults();
        let end = match self.random.u8(..5) {
            0 if clean => End::Close,
            0 | 1 => End::Kill,
            _ => End::PowerCut,
        };
        let delete = self.random.u8(..5) == 0;
        self.end(end);
        if delete {
            self.index_place.delete();
        }
        self.note(format!("{end:?}, index deleted {delete}"));
        // The machine goes off again during the start.
        while self.plan.faults && self.random.u8(..4) == 0 {
            let n = self.random.u32(..8);
            self.disk.plan(|faults| faults.fuse = Some(n));
            drop(Running::open(&self.settings, &self.machine()));
            let end = if self.random.bool() { End::Kill } else { End::PowerCut };
            self.end(end);
            self.note(format!("another end after {n} calls"));
        }
        self.open()?;
        self.check_open(delete)
    }

    pub(super) fn end(&mut self, end: End) {
        // The kernel has what the process wrote.
        self.keeps_all = end != End::PowerCut && !self.unsure && !self.has_met_faults();
        match end {
            End::Close => {
                self.counts.closes += 1;
                let failures = self.disk.failures();
                if let Some(running) = self.running.take() {
                    running.close();
                }
                // Otherwise a fault met during the close may have cost what was not durable yet.
                if self.disk.failures() == failures {
                    self.model.all_durable();
                }
            }
            End::Kill => self.counts.kills += 1,
            End::PowerCut => self.counts.power_cuts += 1,
        }
        self.running = None;
        self.disk.restart();
        if end == End::PowerCut {
            self.disk.cut_power();
            self.index_place.cut_power(&mut self.random);
        }
        self.unsure = false;
    }

    pub(super) fn open(&mut self) -> Done {
        // Every other start has the log alone, unless the index has read into its newest segment.
        let read_at_open_bytes_max = if self.step.is_multiple_of(2) { 0 } else { u64::MAX };
        let machine = Machine { read_at_open_bytes_max, ..self.machine() };
        self.open_on(&machine)?;
        self.model.opened_steady_ms = self.steady_ms();
        let running = self.running.as_mut().ok_or("no store is open")?;
        if running.store.rebuilding().is_some() {
            running.rebuild_index()?;
        }
        Ok(())
    }

    pub(super) fn open_on(&mut self, machine: &Machine) -> Done {
        let opened = Running::open(&self.settings, machine);
        let running = opened.map_err(|error| format!("the store does not open: {error}"))?;
        self.counts.without_index += u64::from(running.store.rebuilding().is_some());
        self.running = Some(running);
        if self.overflows(0) {
            write_lock(&self.running().store.shared.retention.overflow).insert(0);
        }
        for delivery in self.model.deliveries.values_mut() {
            delivery.lease_ms = None;
        }
        Ok(())
    }

    /// Cuts the power twice in a row when nothing but outcomes was written.
    pub(super) fn settlements_and_two_power_cuts(&mut self, target: TargetNumber) -> Done {
        for _ in 0..2 {
            // Each round is a step.
            self.step += 1;
            self.counts.steps += 1;
            if self.unsure || self.disk.faults().off {
                return Ok(());
            }
            self.claim(target)?;
            if self.disk.faults().off {
                return Ok(());
            }
            if self.random.bool() {
                self.digest(target)?;
            } else {
                self.settle(target)?;
            }
            if self.random.u8(..4) == 0 {
                self.pass()?;
            }
            self.end(End::PowerCut);
            self.note("power cut after outcomes only");
            self.open()?;
            self.check_open(false)?;
        }
        Ok(())
    }
}
