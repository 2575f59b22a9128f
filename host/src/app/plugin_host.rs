//! What targets are made with: the plugins found, and what the host provides to each of them.

use std::path::PathBuf;

use tokio::runtime::Handle;

use crate::config::{Config, TargetConfig};
use crate::egress::{Client, TlsUnavailable};
use crate::plugin::{Catalog, Settings, TargetContext};

pub(super) struct PluginHost {
    pub(super) catalog: Catalog,
    client: Client,
    /// Where relative paths of settings start.
    home: PathBuf,
    /// Where the code of targets runs.
    runtime: Handle,
}

impl PluginHost {
    /// Searches for plugins in the folders of `plugins`.
    pub(super) fn new(
        config: &Config,
        plugins: &Settings,
        runtime: &Handle,
    ) -> Result<Self, TlsUnavailable> {
        let client = Client::new(&config.egress)?;
        let (catalog, home) = (Catalog::scan(plugins), config.home.clone());
        Ok(Self { catalog, client, home, runtime: runtime.clone() })
    }

    /// What this target gets.
    pub(super) fn services(&self, target: &TargetConfig) -> TargetContext {
        target.services(self.client.clone(), &self.home, self.runtime.clone())
    }

    /// Logs which files are not used, and why.
    pub(super) fn log_bad_files(&self) {
        for file in self.catalog.files() {
            if let Some(problem) = &file.problem {
                let file = file.path.display();
                tracing::warn!(%file, "the plugin file {file} is not used: {problem}");
            }
        }
    }
}
