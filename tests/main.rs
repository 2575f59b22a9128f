//! The daemon seen from outside: the real binary, a real disk, real sockets, and `kill -9`.
//!
//! `harness` starts daemons and speaks to them; each file of `scenarios` tells stories of one kind.
//! Every test has its own home and port and may run beside any other. Nothing sleeps for luck: what
//! takes time is waited for by its effect, with one generous deadline.

// Marked as tests so that helpers may unwrap too: a panic is a test's way to fail.
#[cfg(test)]
mod harness;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod tidy;
