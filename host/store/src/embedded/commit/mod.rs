//! The thread that writes the log: group commit, and the records of every command.

pub(super) mod append;
pub(super) mod committer;
pub(super) mod group;
mod lose;
pub(super) mod operate;
mod register;
pub(super) mod relocate;
pub(super) mod rollover;
mod settle;
mod unwritten;
