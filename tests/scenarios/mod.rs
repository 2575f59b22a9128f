//! Stories, by what they are about.

mod cases;
mod cli;
mod crash;
mod first_hour;
mod process;
mod receive;
mod targets;
