//! What a configuration makes of its targets: numbers in the store, routes, and instances to start.
//!
//! A start and a reload wire with the same code.

use std::net::SocketAddr;
use std::sync::Arc;

use super::left_behind::{self, Names};
use super::prepare::{PreparedTarget, Ready, State};
use super::recipe::{Changes, NamedRecipe, Recipes};
use crate::admin::{SourceView, Standing, TargetView, View};
use crate::config::Config;
use crate::deliver::{self, Backend};
use crate::model::TargetNumber;
use crate::route::Router;
use crate::store::{Queue, StoreError};

/// A target with its number in the store.
struct WiredTarget {
    number: TargetNumber,
    target: PreparedTarget,
}

/// All targets of a configuration, in its order.
pub(super) struct Wiring {
    targets: Vec<WiredTarget>,
    router: Arc<Router>,
}

/// What the deliverer starts: a target's settings and its instance.
pub(super) type Backends = Vec<(deliver::Settings, Arc<dyn Backend>)>;

impl Wiring {
    /// Asks the store for the numbers, and tells it which targets may lose deliveries.
    ///
    /// # Errors
    /// The store cannot write. A name that is new stays registered, which has no effect.
    pub(super) async fn new(
        targets: Vec<PreparedTarget>,
        queue: &dyn Queue,
    ) -> Result<Self, StoreError> {
        let names = targets.iter().map(|target| Arc::clone(&target.name)).collect();
        let numbers = queue.register(names).await?;
        // The store gives a number for each name, in their order.
        let wired = targets.into_iter().zip(numbers);
        let targets: Vec<_> =
            wired.map(|(target, number)| WiredTarget { number, target }).collect();
        let overflowing = targets.iter().filter(|wired| wired.target.overflow);
        queue.may_overflow(overflowing.map(|wired| wired.number).collect());
        let routes = routed(&targets).map(|wired| (wired.target.route.clone(), wired.number));
        let router = Arc::new(Router::new(routes.collect()));
        Ok(Self { targets, router })
    }

    pub(super) fn router(&self) -> Arc<Router> {
        Arc::clone(&self.router)
    }

    /// Targets that cannot work though they should, each with the reason.
    pub(super) fn unusable(&self) -> impl Iterator<Item = (&Arc<str>, &str)> {
        self.targets.iter().filter_map(|wired| match &wired.target.state {
            State::Unusable(reason) => Some((&wired.target.name, reason.as_str())),
            State::Disabled | State::Ready(_) => None,
        })
    }

    /// What waits for targets that the configuration does not have, or that are disabled.
    pub(super) fn left_behind(&self, queue: &dyn Queue) -> Vec<String> {
        let off = self.targets.iter().filter(|wired| !wired.target.enabled);
        let names = Names {
            configured: self.targets.iter().map(|wired| &*wired.target.name).collect(),
            disabled: off.map(|wired| &*wired.target.name).collect(),
        };
        left_behind::of_queue(queue, &names).iter().map(left_behind::line).collect()
    }

    /// What the targets that can deliver are made from.
    pub(super) fn recipes(&self) -> Recipes {
        let recipe = |WiredTarget { number, target }: &WiredTarget| match &target.state {
            State::Ready(ready) => {
                let (name, recipe) = (Arc::clone(&target.name), ready.recipe.clone());
                Some((*number, NamedRecipe { name, recipe }))
            }
            State::Disabled | State::Unusable(_) => None,
        };
        self.targets.iter().filter_map(recipe).collect()
    }

    /// The configuration as people see it. `listening` is the address in force.
    pub(super) fn view(&self, config: &Config, listening: SocketAddr) -> View {
        let mut config = config.clone();
        config.server.listen = listening;
        let sources = config.ingest.sources.iter();
        let sources = sources.map(|source| SourceView {
            name: Arc::clone(&source.name),
            address: config.address(source),
            unusable: source.unusable.clone(),
        });
        let view = |wired: &WiredTarget| TargetView {
            name: Arc::clone(&wired.target.name),
            number: wired.number,
            standing: if wired.target.enabled { Standing::Enabled } else { Standing::Disabled },
            combines: match &wired.target.state {
                State::Ready(ready) => ready.recipe.has_digest(),
                State::Disabled | State::Unusable(_) => false,
            },
        };
        let unrouted = self.targets.iter().filter(|wired| !wired.target.routed);
        View {
            sources: sources.collect(),
            targets: routed(&self.targets).map(view).collect(),
            unrouted: unrouted.map(view).collect(),
            router: self.router(),
        }
    }

    /// The instances that `changes` starts.
    pub(super) fn into_backends(self, queue: &dyn Queue, changes: &Changes) -> Backends {
        let backend = |WiredTarget { number, target }: WiredTarget| {
            let State::Ready(ready) = target.state else { return None };
            if !changes.starts(number) || (!target.routed && queue.depth(number).pending == 0) {
                return None;
            }
            let Ready { recipe, instance } = *ready;
            let backend: Arc<dyn Backend> = Arc::new(instance);
            Some((recipe.deliver_settings(target.name, number), backend))
        };
        self.targets.into_iter().filter_map(backend).collect()
    }
}

fn routed(targets: &[WiredTarget]) -> impl Iterator<Item = &WiredTarget> {
    targets.iter().filter(|wired| wired.target.routed)
}
