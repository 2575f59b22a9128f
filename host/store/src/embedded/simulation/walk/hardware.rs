//! What happens to the machine: time passes, clocks are set, the index catches up, the disk fails; and
//! the calls without a target: flush and register.

use crate::Queue;
use crate::embedded::index::rows::hour_of;
use crate::embedded::simulation::hardware::disk::NO_SPACE;

use super::walk::{Done, Walk};

const HOUR_MS: u64 = 3_600_000;
const TARGETS_MAX: usize = 6;

impl Walk {
    /// Whether a call may fail. A fault may have struck long ago: its error shows at a later call.
    pub(super) fn has_met_faults(&self) -> bool {
        self.has_faults() || self.disk.failures() > 0
    }

    /// Time passes, and the committer notices.
    pub(super) fn pass(&mut self) -> Done {
        let ms = match self.random.u8(..3) {
            0 => self.random.u64(1..2_000),
            1 => self.random.u64(1..HOUR_MS),
            _ => self.random.u64(1..4 * HOUR_MS),
        };
        self.time.pass(ms);
        self.model.wall_max_ms = self.model.wall_max_ms.max(self.wall_ms());
        self.note(format!("pass {ms}"));
        let running = self.running.as_mut().ok_or("no store is open")?;
        running.round();
        running.look();
        Ok(())
    }

    /// The wall clock is set.
    pub(super) fn jump(&mut self) -> Done {
        if !self.plan.jumps {
            return Ok(());
        }
        let hours = match self.random.u8(..3) {
            0 => 24 * 365 * self.random.i64(1..3),
            _ => self.random.i64(1..40),
        };
        let hours = if self.random.bool() { hours } else { -hours };
        self.time.jump(hours * 3_600_000);
        self.model.wall_max_ms = self.model.wall_max_ms.max(self.wall_ms());
        self.note(format!("jump {hours} h"));
        Ok(())
    }

    pub(super) fn index(&mut self) -> Done {
        let max = self.random.usize(1..4);
        let did = self.running.as_mut().ok_or("no store is open")?.index(max);
        self.note(format!("index {max} -> {did}"));
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Done {
        let store = self.store();
        match self.ask(store.flush()) {
            Some(Ok(())) => self.model.all_durable(),
            Some(Err(_)) if self.has_met_faults() => {}
            Some(Err(error)) => return Err(format!("flush: {error}")),
            None => return Err("flush is not answered".into()),
        }
        self.note("flush");
        Ok(())
    }

    pub(super) fn register(&mut self, count: usize) -> Done {
        for _ in 0..count {
            if self.model.targets.len() >= TARGETS_MAX {
                return Ok(());
            }
            let name = format!("t{}", self.model.targets.len());
            let store = self.store();
            match self.ask(store.register(vec![name.as_str().into()])) {
                Some(Ok(numbers)) => {
                    self.model.all_durable();
                    self.note(format!("register {name} -> {numbers:?}"));
                    self.model.targets.push((name, numbers[0]));
                }
                Some(Err(_)) if self.has_met_faults() => self.note("register is refused"),
                Some(Err(error)) => return Err(format!("register: {error}")),
                None => return Err("register is not answered".into()),
            }
        }
        Ok(())
    }

    /// Plans a fault of the disk.
    pub(super) fn fault(&mut self) -> Done {
        if !self.plan.faults {
            return Ok(());
        }
        let kind = self.random.u8(..8);
        let n = self.random.u32(..6);
        self.disk.plan(|faults| match kind {
            0 => faults.bad_syncs = 1,
            1 => faults.bad_writes = 1,
            2 => faults.bad_names = 1,
            3 => faults.full = if faults.full.is_some() { None } else { Some(NO_SPACE) },
            4 => faults.full = None,
            _ => faults.fuse = Some(n),
        });
        self.note(format!("fault {kind} {n}"));
        Ok(())
    }

    /// The first hour whose rows no index has dropped yet.
    pub(super) fn hours_known(&self) -> u32 {
        hour_of(self.model.wall_max_ms.saturating_sub(self.settings.window_ms() - HOUR_MS))
    }
}
