//! `dispatcher store`: checks, repairs, dumps and backs up the data folder, with or without a running
//! daemon; only a repair needs it stopped.

mod backup;
mod bar;
mod check;
mod damage;
mod data_folder;
mod dump;
mod repair;
#[cfg(test)]
mod tests;

use std::path::Path;

use super::exit::Failure;
use crate::store::embedded::tools::ToolError;
use damage::describe;
use data_folder::DataFolder;

#[derive(Clone, Debug, clap::Subcommand)]
pub(super) enum StoreCommand {
    Check(check::CheckArgs),
    Repair(repair::RepairArgs),
    Dump(dump::DumpArgs),
    Backup(backup::BackupArgs),
}

impl StoreCommand {
    /// Returns whether nothing is damaged.
    pub(super) fn run(&self, config: Option<&Path>) -> Result<bool, Failure> {
        match self {
            Self::Check(args) => check::run(args, config),
            Self::Repair(args) => repair::run(args, config),
            Self::Dump(args) => dump::run(args, config).map(|()| true),
            Self::Backup(args) => backup::run(args, config),
        }
    }
}

/// A wrong folder or name is wrong usage.
fn failed(error: ToolError) -> Failure {
    match error {
        ToolError::NoLog { .. }
        | ToolError::NotEmpty { .. }
        | ToolError::NoSegment { .. }
        | ToolError::Unsuited { .. } => Failure::usage(error),
        other => Failure::new(other),
    }
}
