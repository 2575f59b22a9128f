//! What targets are made with: the plugins found, and what the host lends to each.

use tokio::runtime::Handle;

use super::AppError;
use crate::config::Config;
use crate::egress::Client;
use crate::plugin::{Catalog, Settings};

pub(super) struct Lent {
    pub(super) catalog: Catalog,
    pub(super) client: Client,
    /// Where the targets' code runs.
    pub(super) runtime: Handle,
}

impl Lent {
    /// Looks for plugins as they are now.
    pub(super) fn new(
        config: &Config,
        plugins: &Settings,
        runtime: &Handle,
    ) -> Result<Self, AppError> {
        let client = Client::new(&config.egress).map_err(AppError::new)?;
        Ok(Self { catalog: Catalog::scan(plugins), client, runtime: runtime.clone() })
    }

    /// Says which files are not used, and why.
    pub(super) fn log_bad_files(&self) {
        for file in self.catalog.files() {
            if let Some(problem) = &file.problem {
                tracing::warn!(file = %file.path.display(), "{problem}");
            }
        }
    }
}
