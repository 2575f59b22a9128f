//! From the configuration to the parts: target numbers, routes, plugin instances.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::{AppError, fan};
use crate::admin::{SourceView, TargetView, View};
use crate::config::{Config, TargetConfig};
use crate::deliver::{self, Backend};
use crate::egress::Client;
use crate::model::TargetNumber;
use crate::plugin::{Catalog, Instance, Mode};
use crate::route::{Router, TargetRoute};
use crate::store::Queue;
use crate::telemetry::Feed;

/// One target of the store: a configured target, or one value that it is fanned out to.
pub(super) struct Way<'c> {
    config: &'c TargetConfig,
    name: Arc<str>,
    /// Events go here. Not to the whole of a target that is fanned out: it only delivers what waited for it
    /// while its plugin could not be used, and nobody knew its values.
    routed: bool,
    /// None where the target is disabled or its plugin cannot be used.
    instance: Option<Instance>,
}

/// Every target of the store, in the order of the configuration. Of one whose plugin cannot be used the
/// log tells; what is routed to it waits.
pub(super) fn ways<'c>(
    config: &'c Config,
    runtime: &Handle,
    feed: &Feed,
) -> Result<Vec<Way<'c>>, AppError> {
    let client = Client::new(&config.egress).map_err(AppError::new)?;
    let catalog = Catalog::scan(&config.plugins);
    for file in catalog.files() {
        if let Some(problem) = &file.problem {
            tracing::warn!(file = %file.path.display(), "{problem}");
        }
    }
    let mut ways = Vec::new();
    for target in &config.targets {
        let way = |name: &Arc<str>, routed, instance| Way {
            config: target,
            name: Arc::clone(name),
            routed,
            instance,
        };
        if !target.enabled {
            ways.push(way(&target.name, true, None));
            continue;
        }
        match make(config, target, &catalog, client.clone(), runtime.clone()) {
            Ok(made) => {
                ways.push(way(&target.name, made.shares.is_empty(), Some(made.whole)));
                let shares = made.shares.into_iter();
                ways.extend(shares.map(|(name, instance)| way(&name, true, Some(instance))));
            }
            Err(reason) => {
                tracing::error!(
                    target_name = %target.name,
                    "{reason}; what is routed to it is kept until a start that can use it"
                );
                let condition = format!("cannot be used: {reason}");
                feed.history().condition(&target.name, Some(condition));
                ways.push(way(&target.name, true, None));
            }
        }
    }
    Ok(ways)
}

/// The names of all of them, in their order.
pub(super) fn names(ways: &[Way<'_>]) -> Vec<Arc<str>> {
    ways.iter().map(|way| Arc::clone(&way.name)).collect()
}

/// Threads of the delivery runtime.
pub(super) fn threads(config: &Config) -> usize {
    let settings: Vec<_> = config
        .targets
        .iter()
        .filter(|target| target.enabled)
        // Which mode a plugin has is known once it is loaded; this one has the most calls.
        .map(|target| target.deliver(TargetNumber(0), Mode::Each))
        .collect();
    deliver::worker_threads(&settings)
}

/// `numbers` are those of the ways, in their order.
pub(super) fn router(ways: &[Way<'_>], numbers: &[TargetNumber]) -> Router {
    let routed = ways.iter().zip(numbers).filter(|(way, _)| way.routed);
    let route = |(way, number): (&Way<'_>, &TargetNumber)| {
        let name = Arc::clone(&way.name);
        (TargetRoute { name, ..way.config.route.clone() }, *number)
    };
    Router::new(routed.map(route).collect())
}

/// What people are shown of the targets.
pub(super) fn told(ways: &[Way<'_>], numbers: &[TargetNumber]) -> Vec<TargetView> {
    let routed = ways.iter().zip(numbers).filter(|(way, _)| way.routed);
    let view = |(way, number): (&Way<'_>, &TargetNumber)| TargetView {
        name: Arc::clone(&way.name),
        number: *number,
        enabled: way.config.enabled,
    };
    routed.map(view).collect()
}

/// What people are shown of the configuration. `listening` is the address in force.
pub(super) fn view(
    config: &Config,
    targets: &[TargetView],
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
    View { sources: sources.collect(), targets: targets.to_vec(), router }
}

/// What the deliverer starts: a target's settings and its way out.
pub(super) type Backends = Vec<(deliver::Settings, Arc<dyn Backend>)>;

/// What can be delivered to.
pub(super) fn backends(
    ways: Vec<Way<'_>>,
    numbers: &[TargetNumber],
    queue: &dyn Queue,
) -> Backends {
    let mut backends = Backends::new();
    for (way, number) in ways.into_iter().zip(numbers) {
        let Some(instance) = way.instance else { continue };
        if !way.routed && queue.depth(*number).pending == 0 {
            continue;
        }
        let settings = way.config.deliver(*number, instance.mode());
        let settings = deliver::Settings { name: way.name, ..settings };
        backends.push((settings, Arc::new(instance)));
    }
    backends
}

fn make(
    config: &Config,
    target: &TargetConfig,
    catalog: &Catalog,
    client: Client,
    runtime: Handle,
) -> Result<fan::Made, String> {
    let plugin = catalog.load(&target.plugin).map_err(|error| error.to_string())?;
    if !target.open_secrets(&plugin.manifest().schema).is_empty() {
        return Err("a secret stands in plain text; `dispatcher check` shows where".to_owned());
    }
    if target.digest_problem(plugin.manifest().mode).is_some() {
        return Err(format!("{} makes no digests; `dispatcher check` shows where", target.plugin));
    }
    let services = target.services(client, &config.home, runtime);
    fan::make(&plugin, target, &services).map_err(|invalid| {
        let at = if invalid.path.is_empty() { "" } else { "." };
        format!("settings{at}{}: {}", invalid.path, invalid.reason)
    })
}
