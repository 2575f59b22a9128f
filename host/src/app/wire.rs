//! From the configuration to the parts: target numbers, routes, plugin instances.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::AppError;
use crate::admin::{SourceView, TargetView, View};
use crate::config::{Config, TargetConfig};
use crate::deliver::{self, Backend};
use crate::egress::Client;
use crate::model::TargetNumber;
use crate::plugin::{Catalog, Instance, Mode};
use crate::route::Router;
use crate::telemetry::Feed;

/// The names of all targets, in the order of the configuration.
pub(super) fn names(config: &Config) -> Vec<Arc<str>> {
    config.targets.iter().map(|target| Arc::clone(&target.name)).collect()
}

/// Threads of the delivery runtime.
pub(super) fn threads(config: &Config) -> usize {
    let settings: Vec<_> = enabled(config)
        // Which mode a plugin has is known once it is loaded; this one has the most calls.
        .map(|target| target.deliver(TargetNumber(0), Mode::Each))
        .collect();
    deliver::worker_threads(&settings)
}

/// `numbers` are those of the targets, in their order.
pub(super) fn router(config: &Config, numbers: &[TargetNumber]) -> Router {
    let routes = config.targets.iter().map(|target| target.route.clone());
    Router::new(routes.zip(numbers.iter().copied()).collect())
}

/// What people are shown of the configuration. `listening` is the address in force.
pub(super) fn view(
    config: &Config,
    numbers: &[TargetNumber],
    router: Arc<Router>,
    listening: SocketAddr,
) -> View {
    let mut told = config.clone();
    told.server.listen = listening;
    let sources = config
        .ingest
        .sources
        .iter()
        .map(|source| SourceView { name: Arc::clone(&source.name), address: told.address(source) });
    let targets = config.targets.iter().zip(numbers).map(|(target, number)| TargetView {
        name: Arc::clone(&target.name),
        number: *number,
        enabled: target.enabled,
    });
    View { sources: sources.collect(), targets: targets.collect(), router }
}

/// What the deliverer starts: a target's settings and its way out.
pub(super) type Backends = Vec<(deliver::Settings, Arc<dyn Backend>)>;

/// An instance for each enabled target. One that cannot be made is told in the log; what is routed
/// to it waits.
pub(super) fn backends(
    config: &Config,
    numbers: &[TargetNumber],
    runtime: &Handle,
    feed: &Feed,
) -> Result<Backends, AppError> {
    let client = Client::new(&config.egress).map_err(AppError::new)?;
    let catalog = Catalog::scan(&config.plugins);
    for file in catalog.files() {
        if let Some(problem) = &file.problem {
            tracing::warn!(file = %file.path.display(), "{problem}");
        }
    }
    let mut backends = Backends::new();
    for (target, number) in config.targets.iter().zip(numbers) {
        if !target.enabled {
            continue;
        }
        match instance(config, target, &catalog, client.clone(), runtime.clone()) {
            Ok(instance) => {
                let settings = target.deliver(*number, instance.mode());
                backends.push((settings, Arc::new(instance)));
            }
            Err(reason) => {
                tracing::error!(
                    target_name = %target.name,
                    "{reason}; what is routed to it is kept until a start that can use it"
                );
                let condition = format!("cannot be used: {reason}");
                feed.history().condition(&target.name, Some(condition));
            }
        }
    }
    Ok(backends)
}

fn instance(
    config: &Config,
    target: &TargetConfig,
    catalog: &Catalog,
    client: Client,
    runtime: Handle,
) -> Result<Instance, String> {
    let plugin = catalog.load(&target.plugin).map_err(|error| error.to_string())?;
    if !target.open_secrets(&plugin.manifest().schema).is_empty() {
        return Err("a secret stands in plain text; `dispatcher check` shows where".to_owned());
    }
    let services = target.services(client, &config.home, runtime);
    plugin.create(&target.name, &target.settings.json, &services).map_err(|invalid| {
        let at = if invalid.path.is_empty() { "" } else { "." };
        format!("settings{at}{}: {}", invalid.path, invalid.reason)
    })
}

fn enabled(config: &Config) -> impl Iterator<Item = &TargetConfig> {
    config.targets.iter().filter(|target| target.enabled)
}
