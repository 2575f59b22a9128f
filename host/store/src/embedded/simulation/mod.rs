//! The store on simulated hardware: a disk that loses what a real one may lose, clocks that jump, an
//! index with its crashes. A seed decides every step, so that a failing one replays exactly.
//!
//! `DISPATCHER_SEED=17 cargo test -p dispatcher --lib simulation::seeds` runs that seed alone and
//! prints its steps; `DISPATCHER_SEEDS=3000` runs so many. With the feature `planted-bug` the store has a bug that the seeds must find
//! (`DISPATCHER_PLANTED=RetryLost` names one of [`planted::ALL`]): the test fails then.
//!
//! - `disk`, `index`, `home`, `time`: the hardware;
//! - `running`: an open store, taken forward step by step on one thread;
//! - `model`: what was said to the store and by it;
//! - `walk`, `ops`, `acts`, `crash`: the steps, and what must hold after each and after a restart.

mod acts;
mod contract;
mod crash;
mod disk;
mod home;
mod index;
mod model;
mod ops;
mod planted;
mod regressions;
mod retain;
mod rot;
mod running;
mod seeds;
mod time;
mod walk;

pub(super) use planted::{Planted, is_planted, not_sent, nothing_of, spoil};
pub(crate) use time::Time;
