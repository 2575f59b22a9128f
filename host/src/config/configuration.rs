//! [`Config`]: a configuration that has been read without an error.

use std::path::PathBuf;
use std::sync::Arc;

use super::document::Document;
use super::problem::Problem;
use super::problems::Problems;
use super::target::TargetConfig;
use crate::model::Secret;
use crate::store::embedded;
use crate::verify::Scheme;
use crate::{egress, ingest, net, plugin};

/// A complete configuration without errors.
#[derive(Clone, Debug)]
pub struct Config {
    /// The path as given on the command line.
    pub file: PathBuf,
    /// The absolute folder that relative paths start from.
    pub home: PathBuf,
    /// The `home` that the file names. It differs from `home` if the file was changed while the daemon runs.
    pub home_in_file: PathBuf,
    /// Hash of the text of all files, which contains references instead of secrets.
    pub hash: u64,
    /// The address that senders use, without a trailing slash.
    pub public_url: Option<String>,
    pub server: net::Settings,
    /// The schemes that the configuration defines: `[schemes.NAME]`.
    pub schemes: Vec<Arc<Scheme>>,
    /// Sources are in the order of the file.
    pub ingest: ingest::Settings,
    pub store: embedded::Settings,
    /// Warn when the store's disk has less free space than this. Zero: never warn.
    pub free_low_bytes: u64,
    pub plugins: plugin::Settings,
    pub egress: egress::Settings,
    /// In the order of the file.
    pub targets: Vec<TargetConfig>,
    pub warnings: Vec<Problem>,
    /// The files that secrets were read from.
    pub secret_files: Vec<PathBuf>,
    /// The first secret of each source, in the order of `ingest.sources`.
    pub(super) signing_secrets: Vec<Secret>,
    pub(super) document: Arc<Document>,
}

impl Config {
    /// The source with this name, and the secret that its sender signs with, which is the first one.
    #[must_use]
    pub fn source(&self, name: &str) -> Option<(&ingest::SourceSettings, &Secret)> {
        let sources = self.ingest.sources.iter().zip(&self.signing_secrets);
        sources.into_iter().find(|(source, _)| &*source.name == name)
    }

    #[must_use]
    pub fn target(&self, name: &str) -> Option<&TargetConfig> {
        self.targets.iter().find(|target| &*target.name == name)
    }

    /// The address to enter at the sender.
    #[must_use]
    pub fn address(&self, source: &ingest::SourceSettings) -> String {
        let (listen, path) = (self.server.listen, &source.path);
        match &self.public_url {
            Some(url) => format!("{url}{path}"),
            // The daemon does not know which address of this machine a sender can reach.
            None if listen.ip().is_unspecified() => format!("http://HOST:{}{path}", listen.port()),
            None => format!("http://{listen}{path}"),
        }
    }

    /// The warnings of the configuration together with problems found later, ready to be shown.
    #[must_use]
    pub fn problems(&self, later: Vec<Problem>) -> Problems {
        let list = self.warnings.iter().cloned().chain(later).collect();
        self.only(list)
    }

    /// These problems alone.
    #[must_use]
    pub fn only(&self, list: Vec<Problem>) -> Problems {
        Problems::new(Arc::clone(&self.document), list)
    }
}
