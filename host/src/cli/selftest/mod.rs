//! `dispatcher selftest`: the shipped program proves what it promises, on the machine and disk of
//! whoever asks.

mod crash;
mod event;
mod judge;
mod load;
mod numbers;
mod report;

use super::exit::Failure;

#[derive(Clone, Debug, clap::Subcommand)]
pub(super) enum SelftestCommand {
    Crash(crash::CrashArgs),
}

impl SelftestCommand {
    /// Gives whether the promise was kept.
    pub(super) fn run(&self) -> Result<bool, Failure> {
        match self {
            Self::Crash(args) => crash::run(args),
        }
    }
}
