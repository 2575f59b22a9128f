//! The store on simulated hardware: a disk that loses what a real one may lose, an index with its
//! crashes, and clocks that jump. A seed decides every step, so that a failure can be repeated.
//!
//! `DISPATCHER_SEED=17 cargo test -p dispatcher-store simulation::seeds::seeds -- --nocapture` runs one
//! seed and prints its steps. `DISPATCHER_SEEDS=3000` runs that many. With the feature `planted-bug`
//! the hardware has a fault that the seeds must find (`DISPATCHER_PLANTED` names one of
//! [`planted::ALL`]), and the test fails.
//!
//! A dozen seeds run the store with its threads and a real index instead. What the threads do at the same
//! time is left to chance, so these cannot be repeated exactly.
//!
//! - `hardware`: the disk, the index and the clock;
//! - `planted`: faults of the hardware that stand for bugs of the store;
//! - `walk`: the steps of one seed, the model beside the store, and what must hold;
//! - `seeds`, `regressions`, `index_contract`: the tests.

pub(crate) mod hardware;
mod index_contract;
mod planted;
mod regressions;
mod seeds;
mod walk;
