//! A store on simulated hardware with its model, and the choice of the next step.

use std::path::Path;
use std::sync::{Arc, Mutex};

use dispatcher_model::TargetNumber;
use tempfile::TempDir;

use crate::embedded::core::machine::Machine;
use crate::embedded::format::segment_header::Identity;
use crate::embedded::platform::disk::Disk;
use crate::embedded::platform::locks::lock;
use crate::embedded::{Embedded, Settings};

use crate::embedded::simulation::hardware::disk::SimDisk;
use crate::embedded::simulation::hardware::index_place::IndexPlace;
use crate::embedded::simulation::hardware::time::Time;
use crate::embedded::simulation::planted::Planted;

use super::model::Model;
use super::plan::{Counts, Plan, Trace};
use super::running::Running;
use super::senders::WINDOW_LONGEST;

/// Age at which segments may be removed.
const RETENTION_AGE_MS: u64 = 20 * 3_600_000;

/// Nothing wrong was found, or what it is.
pub(crate) type Done<T = ()> = Result<T, String>;

pub(crate) struct Walk {
    pub plan: Plan,
    _folder: Option<TempDir>,
    pub random: fastrand::Rng,
    pub time: Arc<Time>,
    pub disk: SimDisk,
    pub index_place: IndexPlace,
    pub settings: Settings,
    pub identity: Identity,
    pub running: Option<Running>,
    pub(super) model: Model,
    pub step: u64,
    /// A call failed halfway: only the next start shows what became of it.
    pub unsure: bool,
    /// Everything that was answered outlived the last end.
    pub keeps_all: bool,
    /// The index is not whole yet: repetitions and retries may be unknown.
    pub is_without_index: bool,
    pub counts: Counts,
    trace: Arc<Mutex<Trace>>,
}

impl Walk {
    pub(crate) fn new(plan: Plan, trace: Arc<Mutex<Trace>>) -> Done<Self> {
        let mut random = fastrand::Rng::with_seed(plan.seed);
        // Threads lock a real folder.
        let folder = plan.threads.then(|| tempfile::tempdir().unwrap());
        let directory = folder.as_ref().map_or(Path::new("/simulated"), TempDir::path);
        let mut settings = Settings::new(directory);
        settings.segment_bytes = 1 << random.u32(14..if plan.threads { 15 } else { 18 });
        // A small log, so that segments are removed often; every third seed keeps everything.
        let keeps = random.u8(..3) == 0;
        let has_age = !keeps && random.bool() && !plan.threads;
        settings.retention_age_ms = has_age.then_some(RETENTION_AGE_MS);
        settings.retention_bytes = (!keeps).then_some(6 * settings.segment_bytes);
        settings.repeat_window = WINDOW_LONGEST;
        let disk = SimDisk::new(plan.seed);
        let index_place = IndexPlace::new(&disk, &settings, plan.real_index);
        let time = plan.planted.map_or_else(Time::new, Planted::time);
        let identity = Identity { store: random.u16(..), uuid: random.u64(..) };
        let mut walk = Self {
            plan,
            _folder: folder,
            random,
            time: Arc::new(time),
            disk,
            index_place,
            settings,
            identity,
            running: None,
            model: Model::default(),
            step: 0,
            unsure: false,
            keeps_all: false,
            is_without_index: false,
            counts: Counts::default(),
            trace,
        };
        walk.model.wall_max_ms = walk.wall_ms();
        walk.open()?;
        let count = walk.random.usize(2..5);
        walk.register(count)?;
        Ok(walk)
    }

    pub(super) fn machine(&self) -> Machine {
        let (mut disk, mut index): (Arc<dyn Disk>, _) =
            (Arc::new(self.disk.clone()), self.index_place.home());
        if let Some(planted) = self.plan.planted {
            disk = planted.disk(disk, self.identity.salt());
            index = planted.index(index);
        }
        Machine {
            disk,
            clock: self.time.clone(),
            index,
            identity: Some(self.identity),
            read_at_open_bytes_max: u64::MAX,
            alone: !self.plan.threads,
        }
    }

    pub(super) fn wall_ms(&self) -> u64 {
        self.time.wall().as_millis()
    }

    /// What the store compares due times with.
    pub(super) fn seen_ms(&self) -> u64 {
        self.store().shared.now().seen.as_millis()
    }

    pub(super) fn steady_ms(&self) -> u64 {
        self.time.steady_ms()
    }

    pub(super) fn store(&self) -> Arc<Embedded> {
        self.running().store.clone()
    }

    #[track_caller]
    pub(super) fn running(&self) -> &Running {
        self.running.as_ref().expect("a store is open between steps")
    }

    /// Asks the store and moves it on until it has answered.
    #[track_caller]
    pub(super) fn ask<T>(&mut self, asked: impl Future<Output = T>) -> Option<T> {
        self.running.as_mut().expect("a store is open between steps").ask(asked)
    }

    /// Like [`ask`](Self::ask), for a call that cannot fail now.
    pub(super) fn must<T, E: std::fmt::Display>(
        &mut self,
        what: &str,
        asked: impl Future<Output = Result<T, E>>,
    ) -> Done<T> {
        match self.ask(asked) {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(error)) => Err(format!("{what}: {error}")),
            None => Err(format!("{what} is not answered")),
        }
    }

    pub(super) fn target(&mut self) -> TargetNumber {
        let at = self.random.usize(..self.model.targets.len());
        self.model.targets[at].1
    }

    /// Whether a call may fail now.
    pub(super) fn has_faults(&self) -> bool {
        let faults = self.disk.faults();
        faults.fuse.is_some() || faults.off || faults.full.is_some()
    }

    pub(super) fn note(&self, line: impl AsRef<str>) {
        let line = format!("{:>4} {}", self.step, line.as_ref());
        let mut trace = lock(&self.trace);
        for byte in line.bytes() {
            trace.sum = (trace.sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        trace.lines.push(line);
    }

    pub(crate) fn run(&mut self) -> Done {
        for done in 1..=self.plan.steps {
            self.step += 1;
            self.counts.steps += 1;
            self.one_step()?;
            if done.is_multiple_of(7) && !self.disk.faults().off {
                // A step of its own: what it gives up is not part of a digest.
                self.step += 1;
                self.retain()?;
            }
            if self.unsure || self.disk.faults().off {
                self.crash()?;
            }
            self.check_live()?;
        }
        self.finish()?;
        self.counts.faults = self.disk.failures();
        self.counts.events = self.model.events.len() as u64;
        Ok(())
    }

    fn one_step(&mut self) -> Done {
        let target = self.target();
        match self.random.u32(..204) {
            0..50 => self.append(),
            50..95 => self.claim(target),
            95..130 => self.settle(target),
            130..138 => self.digest(target),
            138..143 => self.extend(target),
            143..155 => self.pass(),
            155..157 => self.index(),
            157..159 => self.retain(),
            159..162 => self.flush(),
            162 => self.without_index(),
            163..166 => self.hold(target),
            166..168 => self.expire(target),
            168..169 => self.skip(target),
            169..173 => self.replay(target),
            173..175 => self.drop_dead(target),
            175..176 => self.register(1),
            176..180 => self.jump(),
            180..186 => self.fault(),
            186..190 => self.settlements_and_two_power_cuts(target),
            190..192 => self.drop_waiting(target),
            192..194 => self.move_waiting(target),
            _ => self.crash(),
        }
    }
}
