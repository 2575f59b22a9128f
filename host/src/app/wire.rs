//! From the configuration to the parts: target numbers, routes, plugin instances.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::Value;

use super::fan;
use super::lent::Lent;
use super::recipe::{Recipe, Recipes};
use crate::admin::{SourceView, TargetView, View};
use crate::config::{Config, TargetConfig};
use crate::deliver::{self, Backend};
use crate::model::TargetNumber;
use crate::plugin::{Instance, Plugin};
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
    made: Option<Made>,
}

struct Made {
    recipe: Recipe,
    instance: Instance,
}

/// Every target of the store, in the order of the configuration. Of one whose plugin cannot be used the
/// log tells; what is routed to it waits.
pub(super) fn ways<'c>(config: &'c Config, lent: &Lent, feed: &Feed) -> Vec<Way<'c>> {
    let mut ways = Vec::new();
    for target in &config.targets {
        let way = |name: &Arc<str>, routed, made| Way {
            config: target,
            name: Arc::clone(name),
            routed,
            made,
        };
        if !target.enabled {
            ways.push(way(&target.name, true, None));
            continue;
        }
        match make(config, target, lent) {
            Ok((plugin, made)) => {
                let recipe = |settings: &Value| Recipe::new(target, settings, &plugin);
                let whole = Made { recipe: recipe(&target.settings.json), instance: made.whole };
                ways.push(way(&target.name, made.shares.is_empty(), Some(whole)));
                ways.extend(made.shares.into_iter().map(|share| {
                    let recipe = recipe(&share.settings);
                    way(&share.name, true, Some(Made { recipe, instance: share.instance }))
                }));
            }
            Err(reason) => {
                tracing::error!(
                    to = %target.name,
                    "{reason}; what is routed to it is kept until a start or reload that can use it"
                );
                let condition = format!("cannot be used: {reason}");
                feed.history().condition(&target.name, Some(condition));
                ways.push(way(&target.name, true, None));
            }
        }
    }
    ways
}

/// The names of all of them, in their order.
pub(super) fn names(ways: &[Way<'_>]) -> Vec<Arc<str>> {
    ways.iter().map(|way| Arc::clone(&way.name)).collect()
}

/// Those whose oldest deliveries may be given up; `numbers` are those of the ways, in their order.
pub(super) fn overflowing(ways: &[Way<'_>], numbers: &[TargetNumber]) -> Vec<TargetNumber> {
    let lossy = ways.iter().zip(numbers).filter(|(way, _)| way.config.overflow);
    lossy.map(|(_, number)| *number).collect()
}

/// The first that should work and cannot.
pub(super) fn unusable<'w>(ways: &'w [Way<'_>]) -> Option<&'w str> {
    ways.iter().find(|way| way.config.enabled && way.made.is_none()).map(|way| &*way.name)
}

/// What those that work are made from; `numbers` are those of the ways, in their order.
pub(super) fn recipes(ways: &[Way<'_>], numbers: &[TargetNumber]) -> Recipes {
    let made = ways.iter().zip(numbers).filter_map(|(way, number)| {
        let made = way.made.as_ref()?;
        Some((*number, (Arc::clone(&way.name), made.recipe.clone())))
    });
    made.collect()
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

/// What people are shown of the configuration. `listening` is the address in force.
pub(super) fn view(
    config: &Config,
    ways: &[Way<'_>],
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
    let routed = ways.iter().zip(numbers).filter(|(way, _)| way.routed);
    let targets = routed.map(|(way, number)| TargetView {
        name: Arc::clone(&way.name),
        number: *number,
        enabled: way.config.enabled,
    });
    View { sources: sources.collect(), targets: targets.collect(), router }
}

/// What the deliverer starts: a target's settings and its way out.
pub(super) type Backends = Vec<(deliver::Settings, Arc<dyn Backend>)>;

/// What can be delivered to, of the targets that `wanted` names.
pub(super) fn backends(
    ways: Vec<Way<'_>>,
    numbers: &[TargetNumber],
    queue: &dyn Queue,
    wanted: impl Fn(TargetNumber) -> bool,
) -> Backends {
    let wanted = ways.into_iter().zip(numbers).filter(|(_, number)| wanted(**number));
    let backend = |(way, number): (Way<'_>, &TargetNumber)| {
        if !way.routed && queue.depth(*number).pending == 0 {
            return None;
        }
        let instance = way.made?.instance;
        let settings = way.config.deliver(*number, instance.mode());
        let backend: Arc<dyn Backend> = Arc::new(instance);
        Some((deliver::Settings { name: way.name, ..settings }, backend))
    };
    wanted.filter_map(backend).collect()
}

fn make(
    config: &Config,
    target: &TargetConfig,
    lent: &Lent,
) -> Result<(Plugin, fan::Made), String> {
    let plugin = lent.catalog.load(&target.plugin).map_err(|error| error.to_string())?;
    if !target.open_secrets(&plugin.manifest().schema).is_empty() {
        return Err("a secret stands in plain text; `dispatcher check` shows where".to_owned());
    }
    if target.digest_problem(plugin.manifest().mode).is_some() {
        return Err(format!("{} makes no digests; `dispatcher check` shows where", target.plugin));
    }
    let services = target.services(lent.client.clone(), &config.home, lent.runtime.clone());
    let made = fan::make(&plugin, target, &services).map_err(|invalid| {
        let at = if invalid.path.is_empty() { "" } else { "." };
        format!("settings{at}{}: {}", invalid.path, invalid.reason)
    })?;
    Ok((plugin, made))
}
