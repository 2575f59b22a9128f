//! The commands below `selftest`.

use super::crash;
use crate::cli::exit::Failure;

#[derive(Clone, Debug, clap::Subcommand)]
pub(in crate::cli) enum SelftestCommand {
    Crash(crash::CrashArgs),
}

impl SelftestCommand {
    /// Returns whether the promise was kept.
    pub(in crate::cli) fn run(&self) -> Result<bool, Failure> {
        match self {
            Self::Crash(args) => crash::run(args),
        }
    }
}
