//! `dispatcher bench`: how near the daemon is to the floor, measured side by side.

use std::io;

/// Measure this machine: the daemon beside a bare server
#[derive(Clone, Debug, clap::Args)]
pub(super) struct BenchArgs {}

pub(super) fn run(_args: &BenchArgs) -> io::Result<()> {
    Err(io::Error::other("`bench` is not wired yet"))
}
