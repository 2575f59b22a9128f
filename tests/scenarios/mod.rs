//! Stories, by what they are about.

mod bad_plugins;
mod cases;
mod cli;
mod crash;
mod first_hour;
mod misbehave;
mod process;
mod receive;
mod targets;
