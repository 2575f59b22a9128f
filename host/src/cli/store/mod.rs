//! `dispatcher store`: checks, repairs, dumps and backs up the data folder, with or without a running
//! daemon; only a repair needs it stopped.

mod backup;
mod bar;
mod check;
mod damage;
mod dump;
mod repair;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use super::exit::{Failure, USAGE};
use super::find;
use crate::config::{self, Environment};
use crate::store::embedded::tools::ToolError;
use damage::describe;

#[derive(Clone, Debug, clap::Subcommand)]
pub(super) enum StoreCommand {
    Check(check::CheckArgs),
    Repair(repair::RepairArgs),
    Dump(dump::DumpArgs),
    Backup(backup::BackupArgs),
}

/// Which data folder a command works on.
#[derive(Clone, Debug, clap::Args)]
struct Which {
    /// The data folder; default: `store.directory` of the configuration
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

impl Which {
    /// Secrets are not read: the operator of the disk may have no access to them.
    fn folder(&self, option: Option<&Path>) -> Result<PathBuf, Failure> {
        if let Some(directory) = &self.directory {
            return Ok(directory.clone());
        }
        let hint = "or give the data folder: --directory DIR";
        let file = find::file(option).map_err(|failure| Failure {
            text: format!("{}\n  {hint}", failure.text),
            ..failure
        })?;
        let config = config::load(&file, &Environment::skipped()).map_err(|problems| Failure {
            code: USAGE,
            text: format!("{}\n  {hint}", find::report(&problems, false)),
        })?;
        Ok(config.store.directory)
    }
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
        ToolError::NoLog { .. } | ToolError::NotEmpty { .. } | ToolError::NoSegment { .. } => {
            Failure::usage(error)
        }
        other => Failure::new(other),
    }
}

/// `1 frame`, `2 frames`.
fn count(n: u64, what: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {what}{s}")
}
