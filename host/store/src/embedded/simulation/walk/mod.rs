//! One seed: the steps that chance takes, a model in plain maps beside the store, and what must hold.
//!
//! - `plan`, `walk`: what a seed is and how it runs;
//! - `running`: an open store, stepped by the test; `model`: what is true of it;
//! - steps: `senders`, `targets`, `operators`, `waiting`, `hardware`, `retention`, `crash`, `without_index`;
//! - checks after a start: `recovered`, `log`, `rebuilt`, `bit_rot`; at the end: `finish`.

mod bit_rot;
mod crash;
mod cut_end;
mod finish;
mod hardware;
mod log;
mod model;
mod operators;
pub(crate) mod plan;
mod rebuilt;
mod recovered;
mod retention;
pub(crate) mod running;
mod senders;
mod targets;
mod waiting;
#[expect(clippy::module_inception, reason = "the type that the other files extend")]
pub(crate) mod walk;
mod without_index;
