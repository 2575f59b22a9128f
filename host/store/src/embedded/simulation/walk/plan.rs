//! What happens in a seed, what is counted, and the steps as text.

use crate::embedded::simulation::planted::Planted;

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub seed: u64,
    pub steps: u64,
    /// Calls to the disk fail.
    pub faults: bool,
    /// The wall clock jumps.
    pub jumps: bool,
    /// Bits of the log flip.
    pub bit_rot: bool,
    /// The index is a real one in a folder.
    pub real_index: bool,
    /// The store has its threads. What they do at the same time is not the seed's.
    pub threads: bool,
    pub planted: Option<Planted>,
}

impl Plan {
    pub(crate) fn of(seed: u64, steps: u64) -> Self {
        Self {
            seed,
            steps,
            faults: !seed.is_multiple_of(3),
            jumps: seed.is_multiple_of(2),
            bit_rot: seed % 5 == 4,
            real_index: seed % 50 == 7,
            threads: false,
            planted: None,
        }
    }

    /// With threads, a real index, and a disk that fails only in power cuts. The clock is never set back:
    /// threads may load what is due before, and give it out after.
    pub(crate) fn with_threads(seed: u64, steps: u64) -> Self {
        let (faults, jumps, bit_rot) = (false, false, false);
        Self { faults, jumps, bit_rot, real_index: true, threads: true, ..Self::of(seed, steps) }
    }
}

/// What is counted over all seeds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub steps: u64,
    pub events: u64,
    pub closes: u64,
    pub kills: u64,
    pub power_cuts: u64,
    /// Calls to the disk that failed.
    pub faults: u64,
    /// Indexes compared with one rebuilt from the log.
    pub rebuilds: u64,
    /// Starts with the log alone; the index was rebuilt while the store was open.
    pub without_index: u64,
    /// Steps taken before that index was whole.
    pub steps_without_index: u64,
    /// How often the oldest segments were removed.
    pub removals: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.steps += other.steps;
        self.events += other.events;
        self.closes += other.closes;
        self.kills += other.kills;
        self.power_cuts += other.power_cuts;
        self.faults += other.faults;
        self.rebuilds += other.rebuilds;
        self.without_index += other.without_index;
        self.steps_without_index += other.steps_without_index;
        self.removals += other.removals;
    }
}

/// The steps as text, and a checksum of them.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub lines: Vec<String>,
    pub sum: u64,
}
