//! `dispatcher selftest`: the shipped program proves its promises, on the machine and disk of the user.

mod command;
mod crash;
mod event;
mod load;
mod number_set;
mod report;
mod target_log;

pub(super) use command::SelftestCommand;
