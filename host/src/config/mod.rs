//! Reads `dispatcher.toml`: the only module that knows TOML. It fills the settings of all others.
//!
//! - Every problem is found in one go; a configuration with an error is refused as a whole.
//! - Secrets are references; none is ever part of a message or of `Debug`.
//! - Nothing is written, and nothing but the file, `conf.d/*.toml` and `dispatcher.env` beside it and the
//!   files that references name is read.
//!
//! Limits: all files together have at most [`CONFIG_BYTES_MAX`] bytes; each setting's limits stand beside its reader.

mod document;
mod environment;
mod files;
mod limits;
mod load;
mod masks;
mod near;
mod problem;
mod reader;
mod reference;
mod schemes;
mod senders;
mod server;
mod settings;
mod sources;
mod targets;
#[cfg(test)]
mod tests;
mod units;
pub mod vendors;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use document::Document;
pub use environment::{ENV_FILE, ENV_FILE_BYTES_MAX, Environment};
pub use files::{CONFIG_BYTES_MAX, MORE_FILES_MAX, MORE_FOLDER};
pub use load::{folder, load, load_again, load_with};
pub use near::{list, near};
pub use problem::{Kind, PROBLEMS_SHOWN_MAX, Place, Problem, Problems};
pub use reference::resolve;
pub use server::default_plugins;
pub use settings::PluginSettings;
pub use units::{show_duration, show_rate};

use tokio::runtime::Handle;

use crate::model::{Cidr, Secret, TargetNumber};
use crate::retry::Policy;
use crate::route::TargetRoute;
use crate::store::embedded;
use crate::verify::Scheme;
use crate::{deliver, egress, ingest, net, plugin};
use reader::{Entry, Notes};

/// Longest name of a source or target, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// A whole configuration without an error.
#[derive(Clone, Debug)]
pub struct Config {
    /// As the person named it.
    pub file: PathBuf,
    /// Absolute; where relative paths start.
    pub home: PathBuf,
    /// Another one than `home` where the file was changed while the daemon runs.
    pub home_in_file: PathBuf,
    /// Of the file's text, in which secrets are references.
    pub hash: u64,
    /// What senders see, without a slash at its end.
    pub public_url: Option<String>,
    pub server: net::Settings,
    /// Its own schemes, `[schemes.NAME]`.
    pub schemes: Vec<Arc<Scheme>>,
    /// The sources are in the order of the file.
    pub ingest: ingest::Settings,
    pub store: embedded::Settings,
    /// Least free space where the store is before a person is told; zero: never.
    pub free_low_bytes: u64,
    pub plugins: plugin::Settings,
    pub egress: egress::Settings,
    /// In the order of the file.
    pub targets: Vec<TargetConfig>,
    pub warnings: Vec<Problem>,
    /// The first secret of each source, in the order of `ingest.sources`.
    signing: Vec<Secret>,
    document: Arc<Document>,
}

/// A configured destination.
#[derive(Clone, Debug)]
pub struct TargetConfig {
    pub name: Arc<str>,
    pub enabled: bool,
    /// The plugin's name.
    pub plugin: String,
    pub settings: PluginSettings,
    /// Closed addresses that this target may reach all the same.
    pub allow: Vec<Cidr>,
    pub route: TargetRoute,
    pub batch_max: usize,
    /// `None`: what suits the plugin's mode.
    pub concurrency: Option<usize>,
    /// One attempt.
    pub timeout: Duration,
    pub policy: Policy,
    /// Its oldest deliveries become dead letters when the log is full; otherwise requests are refused.
    pub overflow: bool,
    pub digest: Option<deliver::DigestSettings>,
    digest_place: Range<usize>,
    plugin_place: Range<usize>,
}

impl Config {
    /// The source of that name, and the secret with which its sender signs: the first.
    #[must_use]
    pub fn source(&self, name: &str) -> Option<(&ingest::SourceSettings, &Secret)> {
        let sources = self.ingest.sources.iter().zip(&self.signing);
        sources.into_iter().find(|(source, _)| &*source.name == name)
    }

    #[must_use]
    pub fn target(&self, name: &str) -> Option<&TargetConfig> {
        self.targets.iter().find(|target| &*target.name == name)
    }

    /// The address that a sender is given.
    #[must_use]
    pub fn address(&self, source: &ingest::SourceSettings) -> String {
        let (listen, path) = (self.server.listen, &source.path);
        match &self.public_url {
            Some(url) => format!("{url}{path}"),
            // Which of this machine's addresses a sender reaches is not known here.
            None if listen.ip().is_unspecified() => format!("http://HOST:{}{path}", listen.port()),
            None => format!("http://{listen}{path}"),
        }
    }

    /// The configuration's warnings together with what was found later, fit to be shown.
    #[must_use]
    pub fn problems(&self, later: Vec<Problem>) -> Problems {
        let list = self.warnings.iter().cloned().chain(later).collect();
        Problems::new(Arc::clone(&self.document), list)
    }
}

impl TargetConfig {
    /// What `deliver` must know. A plugin that takes many events a call gets one call at a time, so that
    /// its calls grow instead of its number of calls.
    #[must_use]
    pub fn deliver(&self, number: TargetNumber, mode: plugin::Mode) -> deliver::Settings {
        let suits = match mode {
            plugin::Mode::Batch => 1,
            _ => deliver::Settings::CONCURRENCY_DEFAULT,
        };
        deliver::Settings {
            name: Arc::clone(&self.name),
            number,
            batch_max: self.batch_max,
            concurrency: self.concurrency.unwrap_or(suits),
            timeout: self.timeout,
            policy: self.policy.clone(),
            digest: self.digest.clone(),
        }
    }

    /// What the plugin is lent.
    #[must_use]
    pub fn services(
        &self,
        egress: egress::Client,
        home: &Path,
        runtime: Handle,
    ) -> plugin::Services {
        plugin::Services {
            egress,
            allow: self.allow.clone(),
            secrets: self.settings.secrets.clone(),
            home: home.to_owned(),
            runtime,
        }
    }

    /// The plugin cannot be used: shown at its name.
    #[must_use]
    pub fn plugin_problem(&self, reason: &str) -> Problem {
        Problem::error(format!("target `{}`: {reason}", self.name))
            .at(self.plugin_place.clone(), "")
    }

    /// `digest` with a plugin that does not make one message of many events.
    #[must_use]
    pub fn digest_problem(&self, mode: plugin::Mode) -> Option<Problem> {
        let refused = self.digest.is_some() && mode != plugin::Mode::Together;
        let title = format!("target `{}` cannot gather events for a digest", self.name);
        let label = format!("{} delivers each event by itself", self.plugin);
        refused.then(|| Problem::error(title).at(self.digest_place.clone(), label))
    }

    /// What a plugin says of its settings, shown at the key; `path` as in `to[1]`, empty for the whole.
    #[must_use]
    pub fn setting_problem(&self, path: &str, reason: &str) -> Problem {
        let (name, plugin) = (&self.name, &self.plugin);
        let title = if path.is_empty() {
            format!("{plugin} refuses the settings of target `{name}`")
        } else {
            format!("{plugin} refuses `targets.{name}.settings.{path}`")
        };
        let problem = Problem::error(title).at(self.settings.place(path), reason);
        // The path names the key, or the reason does between its first backticks.
        let key = path.rsplit('.').next().filter(|key| !key.is_empty());
        match key.or_else(|| reason.split('`').nth(1)) {
            Some(key) if reason.starts_with("unknown") && targets::KEYS.contains(&key) => {
                problem.help(format!("it is a key of the target: write targets.{name}.{key}"))
            }
            _ => problem,
        }
    }

    /// A problem shown at one setting.
    #[must_use]
    pub fn at_setting(&self, problem: Problem, path: &str, label: &str) -> Problem {
        problem.at(self.settings.place(path), label)
    }

    /// Files and folders that the target has for itself: the setting and the path from `home` on.
    #[must_use]
    pub fn paths(&self, schema: &serde_json::Value, home: &Path) -> Vec<(String, PathBuf)> {
        let paths = self.settings.paths(schema).into_iter();
        paths.map(|(key, text)| (key.to_owned(), home.join(text))).collect()
    }

    /// Secrets in plain text, which only the plugin's schema tells from other texts.
    #[must_use]
    pub fn open_secrets(&self, schema: &serde_json::Value) -> Vec<Problem> {
        let open = self.settings.open_secrets(schema).into_iter();
        open.map(|(path, span)| {
            Problem::error(format!(
                "`targets.{}.settings.{path}` is a secret in plain text",
                self.name
            ))
            .at(span, "write \"env:NAME\", \"file:PATH\" or \"credential:NAME\"")
            .help("or, if it must stand here: \"literal:…\"")
            .masked()
        })
        .collect()
    }
}

/// Notes that a name of a source or target is none.
fn check_name(what: &str, name: &str, entry: &Entry<'_>, notes: &Notes) {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(plain) {
        return;
    }
    let title = format!("`{name}` is no name for a {what}");
    let problem = Problem::error(title).at(entry.key.clone(), "cannot be used");
    let help = format!("a name has 1 to {NAME_BYTES_MAX} of a-z, A-Z, 0-9, - and _");
    notes.add(problem.help(help));
}
