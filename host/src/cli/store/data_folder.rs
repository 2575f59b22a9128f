//! The data folder that a `store` command works on.

use std::path::{Path, PathBuf};

use crate::cli::exit::{Failure, USAGE};
use crate::cli::find;
use crate::config::{self, Environment};

/// Which data folder a command works on.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct DataFolder {
    /// The data folder; default: `store.directory` of the configuration
    #[arg(long, value_name = "DIR")]
    pub(super) directory: Option<PathBuf>,
}

impl DataFolder {
    /// Secrets are not read: the operator of the disk may have no access to them.
    pub(super) fn path(&self, option: Option<&Path>) -> Result<PathBuf, Failure> {
        if let Some(directory) = &self.directory {
            return Ok(directory.clone());
        }
        let hint = "or give the data folder: --directory DIR";
        let file = find::file(option).map_err(|failure| Failure {
            text: format!("{}\n  {hint}", failure.text),
            ..failure
        })?;
        let config = config::load_to_start(&file, &Environment::skipped(), |_| Vec::new())
            .map_err(|problems| Failure {
                code: USAGE,
                text: format!("{}\n  {hint}", find::report(&problems, false)),
            })?;
        Ok(config.store.directory)
    }
}
