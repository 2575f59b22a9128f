//! `dispatcher demo`: the main job on this machine, without configuration, in a few seconds.
//!
//! The real parts run: the daemon's own library with a generated configuration in a temporary folder, and
//! for the last check the program itself, which is killed with `kill -9`. Every figure shown was measured.

mod command;
mod crash;
mod requests;

pub(super) use command::{DemoArgs, run};
