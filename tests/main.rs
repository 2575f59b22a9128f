//! Tests the daemon from outside: the real binary, a real disk, real sockets, and `kill -9`.
//!
//! `harness` starts daemons and talks to them; each file of `scenarios` covers one subject. Every test has
//! its own home and port and may run in parallel with any other. No test sleeps and hopes: it waits for an
//! effect, with one generous deadline.

// Marked as tests so that helpers may unwrap too: a test fails by panicking.
#[cfg(test)]
mod harness;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod tidy;
