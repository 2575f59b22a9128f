//! [`TargetConfig`]: one target as configured, and where its settings are in the file.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::problem::Problem;
use super::settings::PluginSettings;
use crate::model::{Cidr, TargetNumber};
use crate::retry::Policy;
use crate::route::TargetRoute;
use crate::{deliver, egress, plugin};

/// A configured destination.
#[derive(Clone, Debug)]
pub struct TargetConfig {
    pub name: Arc<str>,
    pub enabled: bool,
    /// The plugin's name.
    pub plugin: String,
    pub settings: PluginSettings,
    /// Addresses that egress blocks by default and that this target may reach.
    pub allow: Vec<Cidr>,
    pub route: TargetRoute,
    pub batch_max: usize,
    /// `None`: a default that depends on the plugin's mode.
    pub concurrency: Option<usize>,
    /// One attempt.
    pub timeout: Duration,
    pub policy: Policy,
    /// When the log is full: `true` turns the oldest deliveries of this target into dead letters, `false`
    /// refuses requests.
    pub overflow: bool,
    pub digest: Option<deliver::DigestSettings>,
    pub(super) digest_place: Range<usize>,
    pub(super) plugin_place: Range<usize>,
}

/// The keys of a target. People often write one of them among the settings of the plugin.
const KEYS: [&str; 11] = [
    "enabled",
    "plugin",
    "route",
    "batch",
    "digest",
    "concurrency",
    "timeout",
    "retry",
    "overflow",
    "allow",
    "settings",
];

impl TargetConfig {
    /// The settings for `deliver`. A plugin that takes many events per call gets one call at a time, so that
    /// under load its calls grow in size and not in number.
    #[must_use]
    pub fn deliver(&self, number: TargetNumber, mode: plugin::Mode) -> deliver::Settings {
        let default_concurrency = match mode {
            plugin::Mode::Batch => 1,
            _ => deliver::Settings::CONCURRENCY_DEFAULT,
        };
        deliver::Settings {
            name: Arc::clone(&self.name),
            number,
            batch_max: self.batch_max,
            concurrency: self.concurrency.unwrap_or(default_concurrency),
            timeout: self.timeout,
            policy: self.policy.clone(),
            digest: self.digest.clone(),
        }
    }

    /// The services of the host that the plugin may use.
    #[must_use]
    pub fn services(
        &self,
        egress: egress::Client,
        home: &Path,
        runtime: Handle,
    ) -> plugin::TargetContext {
        plugin::TargetContext {
            egress,
            allow: self.allow.clone(),
            secrets: self.settings.secrets.clone(),
            home: home.to_owned(),
            runtime,
        }
    }

    /// The plugin cannot be used. Shown at the plugin's name.
    #[must_use]
    pub fn plugin_problem(&self, reason: &str) -> Problem {
        Problem::error(format!("target `{}`: {reason}", self.name))
            .at(self.plugin_place.clone(), "")
    }

    /// `digest` is set, but the plugin cannot combine many events into one message.
    #[must_use]
    pub fn digest_problem(&self, mode: plugin::Mode) -> Option<Problem> {
        let refused = self.digest.is_some() && mode != plugin::Mode::Together;
        let title = format!("target `{}` does not support `digest`", self.name);
        let label = format!("plugin {} delivers each event separately", self.plugin);
        refused.then(|| Problem::error(title).at(self.digest_place.clone(), label))
    }

    /// A plugin's complaint about its settings, shown at the setting. `path` is like `to[1]`, and empty if it
    /// concerns the settings as a whole.
    #[must_use]
    pub fn setting_problem(&self, path: &str, reason: &str) -> Problem {
        let (name, plugin) = (&self.name, &self.plugin);
        let title = if path.is_empty() {
            format!("plugin {plugin} rejects the settings of target `{name}`")
        } else {
            format!("plugin {plugin} rejects `targets.{name}.settings.{path}`")
        };
        let problem = Problem::error(title).at(self.settings.place(path), reason);
        // Either the path names the key, or the reason does, in its first pair of backticks.
        let key = path.rsplit('.').next().filter(|key| !key.is_empty());
        match key.or_else(|| reason.split('`').nth(1)) {
            Some(key) if reason.starts_with("unknown") && KEYS.contains(&key) => {
                problem.help(format!(
                    "`{key}` is a key of the target, not of the plugin: write targets.{name}.{key}"
                ))
            }
            _ => problem,
        }
    }

    /// A problem shown at one setting.
    #[must_use]
    pub fn at_setting(&self, problem: Problem, path: &str, label: &str) -> Problem {
        problem.at(self.settings.place(path), label)
    }

    /// Files and folders that only this target may use: each setting and its path, resolved against `home`.
    #[must_use]
    pub fn paths(&self, schema: &serde_json::Value, home: &Path) -> Vec<(String, PathBuf)> {
        let paths = self.settings.paths(schema).into_iter();
        paths.map(|(key, text)| (key.to_owned(), home.join(text))).collect()
    }

    /// Whether a setting is the path of a regular file.
    #[must_use]
    pub fn is_regular_file(&self, schema: &serde_json::Value, key: &str) -> bool {
        self.settings.is_regular_file(schema, key)
    }

    /// Literal addresses among the settings that the target may not reach: each is an error at every attempt.
    #[must_use]
    pub fn denied_addresses(&self, schema: &serde_json::Value) -> Vec<Problem> {
        let addresses = self.settings.addresses(schema).into_iter();
        let denied = addresses.filter_map(|(path, text)| {
            let egress::Denied { address, kind, range } = egress::denied(text, &self.allow)?;
            let title = format!("target `{}` may not reach {address} ({kind})", self.name);
            let problem = self.at_setting(Problem::warning(title), path, "every attempt will fail");
            Some(problem.help(format!(
                "if this is intended, write targets.{}.allow = [\"{range}\"]",
                self.name
            )))
        });
        denied.collect()
    }

    /// Secrets in plain text. Only the plugin's schema says which settings are secrets.
    #[must_use]
    pub fn open_secrets(&self, schema: &serde_json::Value) -> Vec<Problem> {
        let open = self.settings.open_secrets(schema).into_iter();
        open.map(|(path, span)| {
            Problem::error(format!(
                "`targets.{}.settings.{path}` is a secret in plain text",
                self.name
            ))
            .at(span, "write \"env:NAME\", \"file:PATH\" or \"credential:NAME\"")
            .help("to keep it in this file, write \"literal:…\"")
            .masked()
        })
        .collect()
    }
}
