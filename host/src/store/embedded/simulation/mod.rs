//! The store on simulated hardware.

mod time;

pub(super) use time::Time;
