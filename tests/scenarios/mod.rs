//! Stories, by what they are about.

mod cases;
mod crash;
mod process;
mod receive;
mod targets;
