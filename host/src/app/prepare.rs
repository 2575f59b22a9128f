//! From configured targets to instances of their plugins, each made once: what a check accepted is what runs.
//!
//! Opens nothing and changes nothing: a target whose instance was made and dropped has no effect.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::own_files::OwnFiles;
use super::plugin_host::PluginHost;
use super::recipe::Recipe;
use super::recipients::{self, Instances, Recipient};
use crate::config::{Config, Problem, TargetConfig};
use crate::plugin::{Damaged, Instance, Invalid, LoadError, Plugin};
use crate::route::TargetRoute;

/// One target of the store: a configured target, or one of its recipients.
pub(super) struct PreparedTarget {
    pub(super) name: Arc<str>,
    pub(super) enabled: bool,
    /// Its oldest deliveries may be given up when the log is full.
    pub(super) overflow: bool,
    pub(super) route: TargetRoute,
    /// Whether it gets events. A target with recipients gets none itself: it only delivers what was routed
    /// to it while its plugin could not be used and its recipients were unknown.
    pub(super) routed: bool,
    pub(super) state: State,
}

pub(super) enum State {
    Disabled,
    /// Its plugin cannot be used: one line.
    Unusable(String),
    Ready(Box<Ready>),
}

/// A target that can deliver.
pub(super) struct Ready {
    pub(super) recipe: Recipe,
    pub(super) instance: Instance,
}

/// Which targets are tried.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Enabled,
    /// Problems of disabled targets are warnings.
    All,
}

/// All targets, in the order of the configuration, and what is wrong with them.
#[derive(Default)]
pub(super) struct Prepared {
    pub(super) targets: Vec<PreparedTarget>,
    pub(super) problems: Vec<Problem>,
}

/// A target that writes to the file of another one.
pub(super) struct SharedFile {
    pub(super) target: Arc<str>,
    pub(super) problem: Problem,
}

/// Why a target cannot work.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error(transparent)]
    NotLoaded(#[from] LoadError),
    #[error(transparent)]
    Damaged(#[from] Damaged),
    #[error("{}: {}", .0.title, .0.label)]
    OpenSecret(Box<Problem>),
    #[error("{}: {}", .0.title, .0.label)]
    NoDigests(Box<Problem>),
    #[error("{}: {}", .0.title, .0.label)]
    OwnFile(Box<Problem>),
    #[error("settings{}{}: {}", if .0.path.is_empty() { "" } else { "." }, .0.path, .0.reason)]
    Refused(#[from] Invalid),
}

impl Unusable {
    /// Shows it at its place in the configuration.
    fn into_problem(self, target: &TargetConfig) -> Problem {
        let problem = match self {
            Self::NotLoaded(error) => target.plugin_problem(&error.to_string()),
            Self::Damaged(error) => target.plugin_problem(&error.to_string()),
            Self::OpenSecret(problem) | Self::NoDigests(problem) | Self::OwnFile(problem) => {
                *problem
            }
            Self::Refused(invalid) => target.setting_problem(&invalid.path, &invalid.reason),
        };
        problem.of_a_target()
    }
}

impl Prepared {
    /// Loads the plugins and makes the instances.
    pub(super) fn new(config: &Config, host: &PluginHost, scope: Scope) -> Self {
        let mut prepared = Self { targets: Vec::new(), problems: Vec::new() };
        try_plugins(config, host, scope);
        let own = OwnFiles::of(config);
        for target in &config.targets {
            prepared.add(target, (host, &own, &config.home), scope);
        }
        prepared
    }

    /// Gives up a target that writes to the file of another one, if both are enabled.
    pub(super) fn refuse(&mut self, shared: &SharedFile) {
        let SharedFile { target, problem } = shared;
        let found = self.targets.iter_mut().filter(|_| problem.is_error());
        for prepared in found.filter(|prepared| prepared.name == *target) {
            prepared.state = State::Unusable(format!("{}: {}", problem.title, problem.label));
        }
    }

    fn add(&mut self, target: &TargetConfig, context: Context<'_>, scope: Scope) {
        let made = (target.enabled || scope == Scope::All).then(|| instances(target, context));
        match made {
            Some(Ok((plugin, instances))) if target.enabled => {
                self.add_ready(target, &plugin, instances);
            }
            Some(Err(reasons)) => {
                let reason = reasons.first().map(ToString::to_string).unwrap_or_default();
                for reason in reasons {
                    let problem = reason.into_problem(target);
                    let problem = if target.enabled { problem } else { problem.as_warning() };
                    self.problems.push(problem);
                }
                let state = if target.enabled { State::Unusable(reason) } else { State::Disabled };
                self.targets.push(PreparedTarget::new(target, &target.name, true, state));
            }
            Some(Ok(_)) | None => {
                let disabled = PreparedTarget::new(target, &target.name, true, State::Disabled);
                self.targets.push(disabled);
            }
        }
    }

    fn add_ready(&mut self, target: &TargetConfig, plugin: &Plugin, instances: Instances) {
        let ready = |settings: &Value, instance| {
            State::Ready(Box::new(Ready {
                recipe: Recipe::new(target, settings, plugin),
                instance,
            }))
        };
        let Instances { whole, recipients } = instances;
        let whole = ready(&target.settings.json, whole);
        let routed = recipients.is_empty();
        self.targets.push(PreparedTarget::new(target, &target.name, routed, whole));
        for Recipient { name, settings, instance, .. } in recipients {
            let state = ready(&settings, instance);
            self.targets.push(PreparedTarget::new(target, &name, true, state));
        }
    }
}

impl PreparedTarget {
    fn new(target: &TargetConfig, name: &Arc<str>, routed: bool, state: State) -> Self {
        Self {
            name: Arc::clone(name),
            enabled: target.enabled,
            overflow: target.overflow,
            route: TargetRoute { name: Arc::clone(name), ..target.route.clone() },
            routed,
            state,
        }
    }
}

/// Tries each plugin with the settings of all its targets at once. It remembers what is wrong, and each target
/// reports it.
fn try_plugins(config: &Config, host: &PluginHost, scope: Scope) {
    let mut all: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    let made = |target: &&TargetConfig| target.enabled || scope == Scope::All;
    for target in config.targets.iter().filter(made).filter(|target| !target.settings.incomplete) {
        if let Ok(plugin) = host.catalog.load(&target.plugin) {
            let settings = recipients::all_settings(&plugin, target);
            all.entry(&target.plugin).or_default().extend(settings);
        }
    }
    for (plugin, settings) in all {
        let _ = host.catalog.load(plugin).map(|plugin| plugin.prove(&settings));
    }
}

/// What a target is made with: plugins, the files that it may not write, and the home.
type Context<'a> = (&'a PluginHost, &'a OwnFiles, &'a Path);

/// Every reason why the target cannot work, or its instances.
fn instances(
    target: &TargetConfig,
    (host, own, home): Context<'_>,
) -> Result<(Plugin, Instances), Vec<Unusable>> {
    if target.plugin.is_empty() {
        // Reading the configuration has reported that.
        return Err(Vec::new());
    }
    let plugin = host.catalog.load(&target.plugin).map_err(|error| vec![error.into()])?;
    let manifest = plugin.manifest();
    let open =
        target.open_secrets(&manifest.schema).into_iter().map(Box::new).map(Unusable::OpenSecret);
    let digest = target.digest_problem(manifest.mode).map(Box::new).map(Unusable::NoDigests);
    let own = own
        .problems(target, &manifest.schema, home)
        .into_iter()
        .map(Box::new)
        .map(Unusable::OwnFile);
    let mut reasons: Vec<Unusable> = open.chain(digest).chain(own).collect();
    let services = host.services(target);
    if target.settings.incomplete {
        let complaints = recipients::complaints(&plugin, target, &services);
        reasons.extend(complaints.into_iter().map(Unusable::from));
        return Err(reasons);
    }
    let tried = plugin.prove(&recipients::all_settings(&plugin, target));
    tried.map_err(|error| vec![error.into()])?;
    match recipients::make(&plugin, target, &services) {
        Ok(instances) if reasons.is_empty() => return Ok((plugin, instances)),
        Ok(_) => {}
        Err(invalid) => reasons.extend(invalid.all().into_iter().map(Unusable::from)),
    }
    Err(reasons)
}
