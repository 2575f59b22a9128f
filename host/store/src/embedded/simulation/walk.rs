//! One seed: a store on simulated hardware, a model of it, and the steps that chance takes.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use crate::embedded::core::machine::Machine;
use crate::embedded::format::segment_header::Identity;
use crate::embedded::platform::clock::Clock;
use crate::embedded::platform::locks::lock;
use crate::embedded::{Embedded, Settings};
use dispatcher_model::TargetNumber;

use crate::embedded::simulation::disk::SimDisk;
use crate::embedded::simulation::home::Home;
use crate::embedded::simulation::model::Model;
use crate::embedded::simulation::planted::Planted;
use crate::embedded::simulation::running::Running;
use crate::embedded::simulation::time::Time;

/// What is older may go.
const RETENTION_AGE_MS: u64 = 20 * 3_600_000;

/// A step that found nothing wrong, or what it found.
pub(super) type Done<T = ()> = Result<T, String>;

/// What is counted over all seeds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub steps: u64,
    pub events: u64,
    pub closes: u64,
    pub kills: u64,
    pub power_cuts: u64,
    pub faults: u64,
    pub rebuilds: u64,
    /// Starts with the log alone, after which the index was made.
    pub made_aside: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: Self) {
        self.steps += other.steps;
        self.events += other.events;
        self.closes += other.closes;
        self.kills += other.kills;
        self.power_cuts += other.power_cuts;
        self.faults += other.faults;
        self.rebuilds += other.rebuilds;
        self.made_aside += other.made_aside;
    }
}

/// What kind of life a seed has.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub seed: u64,
    pub steps: u64,
    pub faults: bool,
    pub jumps: bool,
    pub rot: bool,
    /// The index is a real one in a folder.
    pub fjall: bool,
    pub planted: Option<Planted>,
}

impl Plan {
    pub(super) fn of(seed: u64, steps: u64) -> Self {
        Self {
            seed,
            steps,
            faults: !seed.is_multiple_of(3),
            jumps: seed.is_multiple_of(2),
            rot: seed % 5 == 4,
            fjall: seed % 50 == 7,
            planted: None,
        }
    }
}

pub(super) struct Walk {
    pub plan: Plan,
    pub random: fastrand::Rng,
    pub time: Arc<Time>,
    pub disk: SimDisk,
    pub home: Home,
    pub settings: Settings,
    pub identity: Identity,
    pub running: Option<Running>,
    pub model: Model,
    pub step: u64,
    /// Something was left half done: only a restart tells what became of it.
    pub unsure: bool,
    pub counts: Counts,
    trace: Arc<Mutex<Trace>>,
}

/// The steps as text, for whom it concerns, and a sum of them.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub lines: Vec<String>,
    pub sum: u64,
}

impl Walk {
    pub(super) fn new(plan: Plan, trace: Arc<Mutex<Trace>>) -> Done<Self> {
        let mut random = fastrand::Rng::with_seed(plan.seed);
        let mut settings = Settings::new(PathBuf::from("/simulated"));
        settings.segment_bytes = 1 << random.u32(14..18);
        // Tiny, so that segments go often; every third seed keeps everything.
        let keeps = random.u8(..3) == 0;
        settings.retention_age_ms = (!keeps && random.bool()).then_some(RETENTION_AGE_MS);
        settings.retention_bytes = (!keeps).then_some(6 * settings.segment_bytes);
        let disk = SimDisk::new(plan.seed);
        let lying = plan.planted == Some(Planted::AckBeforeSync);
        disk.plan(|faults| faults.lying = lying);
        let home = Home::new(&disk, &settings, plan.fjall);
        let identity = Identity { store: random.u16(..), uuid: random.u64(..) };
        let mut walk = Self {
            plan,
            random,
            time: Arc::new(Time::new()),
            disk,
            home,
            settings,
            identity,
            running: None,
            model: Model::default(),
            step: 0,
            unsure: false,
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
        Machine {
            disk: Arc::new(self.disk.clone()),
            clock: Clock::Simulated(self.time.clone()),
            index: self.home.machine(),
            identity: Some(self.identity),
            read_at_open_bytes_max: u64::MAX,
            alone: true,
        }
    }

    pub(super) fn wall_ms(&self) -> u64 {
        self.time.wall().as_millis()
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

    /// Asks the store and takes its steps until it has answered.
    #[track_caller]
    pub(super) fn ask<T>(&mut self, asked: impl Future<Output = T>) -> Option<T> {
        self.running.as_mut().expect("a store is open between steps").ask(asked)
    }

    /// Like [`ask`](Self::ask), for what cannot fail now.
    pub(super) fn must<T, E: std::fmt::Display>(
        &mut self,
        what: &str,
        asked: impl Future<Output = Result<T, E>>,
    ) -> Done<T> {
        match self.ask(asked) {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(error)) => Err(format!("{what}: {error}")),
            None => Err(format!("{what} is never answered")),
        }
    }

    pub(super) fn target(&mut self) -> TargetNumber {
        let at = self.random.usize(..self.model.targets.len());
        self.model.targets[at].1
    }

    /// Whether an error is no wonder.
    pub(super) fn has_faults(&self) -> bool {
        let faults = self.disk.faults();
        faults.fuse.is_some() || faults.off || faults.full
    }

    pub(super) fn note(&self, line: impl AsRef<str>) {
        let line = format!("{:>4} {}", self.step, line.as_ref());
        let mut trace = lock(&self.trace);
        for byte in line.bytes() {
            trace.sum = (trace.sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        trace.lines.push(line);
    }

    pub(super) fn run(&mut self) -> Done {
        while self.step < self.plan.steps {
            self.step += 1;
            self.counts.steps += 1;
            self.one_step()?;
            if self.step.is_multiple_of(7) && !self.disk.faults().off {
                self.retain()?;
            }
            if self.unsure || self.disk.faults().off {
                self.crash()?;
            }
            self.check_live()?;
        }
        self.finish()?;
        self.counts.faults = self.disk.faults_met();
        self.counts.events = self.model.events.len() as u64;
        Ok(())
    }

    fn one_step(&mut self) -> Done {
        let target = self.target();
        match self.random.u32(..200) {
            0..50 => self.append(),
            50..95 => self.claim(target),
            95..130 => self.settle(target),
            130..138 => self.digest(target),
            138..143 => self.extend(target),
            143..155 => self.pass(),
            155..157 => self.index(),
            157..159 => self.retain(),
            159..163 => self.flush(),
            163..166 => self.hold(target),
            166..168 => self.expire(target),
            168..169 => self.skip(target),
            169..173 => self.replay(target),
            173..175 => self.drop_dead(target),
            175..176 => self.register(1),
            176..180 => self.jump(),
            180..186 => self.fault(),
            186..190 => self.settlements_and_two_power_cuts(target),
            _ => self.crash(),
        }
    }
}
