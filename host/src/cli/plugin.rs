//! `dispatcher plugin`: what lies in the plugin folders.

use std::path::Path;

use super::exit::Failure;

#[derive(Clone, Debug, clap::Subcommand)]
pub(super) enum PluginCommand {
    /// List the plugins that are found, and what is wrong with a file
    List,
}

impl PluginCommand {
    pub(super) fn run(&self, _config: Option<&Path>) -> Result<bool, Failure> {
        Err(Failure::new("not yet"))
    }
}
