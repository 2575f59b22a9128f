//! Brings a configuration into force: the first one at the start, and others without a restart.
//!
//! A reload reads and checks everything before it changes anything: the file, what it names, the plugins as
//! they are now, and whether they accept their settings. Then each request is received by the old or the new
//! configuration from its start to its end. Only targets that differ are replaced, each after its old
//! instance has ended. No connection is closed. From the moment that it is asked for until some seconds after its end,
//! also if it is refused, a request for an unknown path gets 503: its source may be about to come.
//!
//! `env:` is the environment at the start of the process; `file:`, `credential:` and `dispatcher.env` are
//! read again. [`Reloaded::restart`] names what only a restart changes; everything else is in force.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::check;
use super::monitor::Watched;
use super::plugin_host::PluginHost;
use super::prepare::{Prepared, PreparedTarget};
use super::recipe::{Changes, NamedRecipe, Recipes};
use super::reload_report::{Rejected, Reloaded, in_force_to_wire, to_wire};
use super::restart::Fixed;
use super::wiring::Wiring;
use crate::admin::{self, Admin, Host, View};
use crate::config::{Config, Environment, Problem, load_again, read_saved};
use crate::deliver::Deliverer;
use crate::ingest::Ingest;
use crate::model::TargetNumber;
use crate::route::Router;
use crate::store::{Queue, Retries, StoreError};
use crate::telemetry::{AlarmKind, Condition, Feed};

/// How long a stop, and a target that is replaced, waits for running attempts.
pub(super) const DELIVERY_GRACE: Duration = Duration::from_secs(15);

/// The parts of a running daemon that depend on the configuration. After a stop, a reload only fails.
pub struct Reloader {
    pub(super) fixed: Fixed,
    pub(super) receiving: Handle,
    pub(super) delivering: Handle,
    pub(super) queue: Arc<dyn Queue>,
    pub(super) feed: Feed,
    pub(super) ingest: Arc<Ingest>,
    pub(super) deliverer: Deliverer,
    pub(super) watched: watch::Sender<Option<Watched>>,
    /// `None` before the start and after the stop, and if the socket could not be opened, which is logged.
    pub(super) admin: Mutex<Option<Admin>>,
    /// Locked during a reload, so that there is one at a time.
    pub(super) in_force: Mutex<InForce>,
    pub(super) last: Mutex<Option<Result<Reloaded, Rejected>>>,
}

/// What the configuration in force has.
#[derive(Default)]
pub(super) struct InForce {
    recipes: Recipes,
    count: Count,
}

/// A configuration and its targets.
type Loaded = (Config, Vec<PreparedTarget>);

/// How many sources and targets a configuration has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    sources: usize,
    targets: usize,
}

impl Count {
    fn of(config: &Config) -> Self {
        Self { sources: config.ingest.sources.len(), targets: config.targets.len() }
    }

    /// Why a change to `next` looks like a mistake, such as a file that was emptied.
    fn loses_all(self, next: Self) -> Option<String> {
        let what = match (self, next) {
            (Self { sources: n @ 1.., .. }, Self { sources: 0, .. }) => format!("source ({n} now)"),
            (Self { targets: n @ 1.., .. }, Self { targets: 0, .. }) => format!("target ({n} now)"),
            _ => return None,
        };
        Some(format!("the configuration has no {what}"))
    }
}

impl fmt::Debug for Reloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloader").field("fixed", &self.fixed).finish_non_exhaustive()
    }
}

/// Names of targets by what was done with them.
struct ChangedNames {
    started: Vec<Arc<str>>,
    replaced: Vec<Arc<str>>,
    ended: Vec<Arc<str>>,
}

impl Reloader {
    /// Reads the configuration again and brings all of it into force, or nothing. The outcome is logged and
    /// kept as [`last`](Self::last). Blocks: not for a task of a runtime.
    ///
    /// # Errors
    /// The configuration has an error, or the store cannot write.
    ///
    /// `allow_empty`: the new configuration may have no source or no target although there were some.
    pub fn reload(&self, allow_empty: bool) -> Result<Reloaded, Rejected> {
        // From now on, also while this waits for another reload.
        let changing = self.ingest.begin_change();
        let mut in_force = lock(&self.in_force);
        let result = self.try_reload(&mut in_force, allow_empty);
        match &result {
            Ok(reloaded) => reloaded.log(),
            Err(rejected) => {
                rejected.log();
                let (file, reason) = (self.fixed.file.display().to_string(), rejected.to_string());
                self.feed.alarms().raise(AlarmKind::ConfigRejected, &file.into(), 1, &reason);
            }
        }
        drop(changing);
        *lock(&self.last) = Some(result.clone());
        result
    }

    /// The outcome of the last reload; `None` if there was none since the start.
    fn last(&self) -> Option<Result<Reloaded, Rejected>> {
        lock(&self.last).clone()
    }

    /// Opens the admin socket and brings the first configuration into force. Logs which targets cannot work.
    ///
    /// # Errors
    /// The store cannot write.
    pub(super) fn start(
        self: &Arc<Self>,
        config: &Config,
        targets: Vec<PreparedTarget>,
    ) -> Result<(), StoreError> {
        let wiring = self.wire(targets)?;
        for (name, reason) in wiring.unusable() {
            tracing::error!(
                to = %name,
                "{reason}; what is routed to it is kept until a start or reload that can use it"
            );
            self.feed.history().condition(name, Condition::Unusable(reason.to_owned()));
        }
        for warning in wiring.left_behind(&*self.queue) {
            tracing::warn!("{warning}");
        }
        for source in &config.ingest.sources {
            if let Some(reason) = &source.unusable {
                self.feed.alarms().raise(AlarmKind::SourceUnusable, &source.name, 1, reason);
            }
        }
        self.open_admin(wiring.router());
        self.put_in_force(config, wiring, &mut lock(&self.in_force));
        Ok(())
    }

    fn try_reload(&self, in_force: &mut InForce, allow_empty: bool) -> Result<Reloaded, Rejected> {
        let (config, targets) = read_saved(&self.fixed.file, || self.load())?;
        if !allow_empty && let Some(title) = in_force.count.loses_all(Count::of(&config)) {
            let problem = Problem::error(title);
            let help = "if that is what you want, run: dispatcher reload --allow-empty";
            let problems = config.only(vec![problem.help(help)]);
            return Err(Rejected::new(problems.count(), &problems));
        }
        let wiring = self.wire(targets).map_err(Rejected::by_the_host)?;
        let mut warnings = config.problems(Vec::new()).lines();
        warnings.extend(wiring.left_behind(&*self.queue));
        let ChangedNames { started, replaced, ended } =
            self.put_in_force(&config, wiring, in_force);
        Ok(Reloaded {
            at: SystemTime::now().into(),
            in_force: self.ingest.in_force(),
            started,
            replaced,
            ended,
            restart: self.fixed.differences(&config),
            warnings,
        })
    }

    fn wire(&self, targets: Vec<PreparedTarget>) -> Result<Wiring, StoreError> {
        self.receiving.block_on(Wiring::new(targets, &*self.queue))
    }

    /// Cannot fail half-way.
    fn put_in_force(
        &self,
        config: &Config,
        wiring: Wiring,
        in_force: &mut InForce,
    ) -> ChangedNames {
        let new = wiring.recipes();
        let changes = Changes::between(&in_force.recipes, &new);
        // Fails only when the daemon stops and nothing is watched.
        let _ = self.watched.send(Some(Watched::of(config)));
        self.queue.keep_keys(config.store.repeat_window);
        self.ingest.change(config.ingest.clone(), wiring.router());
        let view = wiring.view(config, self.fixed.address);
        let started = wiring.into_backends(&*self.queue, &changes);
        self.deliverer.change(&changes.ended, started, DELIVERY_GRACE);
        self.retry_now(&changes.replaced, &new);
        self.show(view);
        let names = |recipes: &Recipes, numbers: &[TargetNumber]| {
            let named = numbers.iter().filter_map(|number| recipes.get(number));
            named.map(|NamedRecipe { name, .. }| Arc::clone(name)).collect()
        };
        let names = ChangedNames {
            started: names(&new, &changes.started),
            replaced: names(&new, &changes.replaced),
            ended: names(&in_force.recipes, &changes.ended),
        };
        *in_force = InForce { recipes: new, count: Count::of(config) };
        names
    }

    /// What waits for its next attempt at a target that was replaced is attempted now: a person probably repaired it.
    fn retry_now(&self, targets: &[TargetNumber], recipes: &Recipes) {
        for number in targets.iter().copied() {
            let Some(NamedRecipe { name, .. }) = recipes.get(&number) else { continue };
            let (queue, to) = (Arc::clone(&self.queue), Arc::clone(name));
            self.delivering.spawn(async move {
                if let Err(error) = queue.hasten(number, Retries::All).await {
                    tracing::warn!(
                        %to,
                        "retries of a replaced target wait for their time: {error}"
                    );
                }
            });
        }
    }

    /// Finds everything that can be wrong, all at once. Also returns the files of secrets.
    fn load(&self) -> (Result<Loaded, Rejected>, Vec<PathBuf>) {
        let mut secrets = Vec::new();
        (self.load_with(&mut secrets), secrets)
    }

    fn load_with(&self, secrets: &mut Vec<PathBuf>) -> Result<Loaded, Rejected> {
        let (mut made, environment) = (None, Environment::of_process());
        let further = |config: &Config| {
            secrets.clone_from(&config.secret_files);
            match PluginHost::new(config, &config.plugins, &self.delivering) {
                Ok(host) => {
                    let Prepared { targets, problems } = check::prepare(config, &host);
                    made = Some((host, targets));
                    problems
                }
                Err(error) => vec![Problem::error(error.to_string())],
            }
        };
        let config = load_again(&self.fixed.file, &environment, &self.fixed.home, further)
            .map_err(|problems| Rejected::new(problems.count(), &problems))?;
        let (host, targets) =
            made.ok_or_else(|| Rejected::by_the_host("no plugin was searched"))?;
        host.log_bad_files();
        Ok((config, targets))
    }

    /// If the socket cannot be opened, that is logged and the daemon works without it: receiving and
    /// delivering matter more.
    fn open_admin(self: &Arc<Self>, router: Arc<Router>) {
        let reload = Arc::new(WeakReloader(Arc::downgrade(self)));
        let (queue, feed) = (Arc::clone(&self.queue), self.feed.clone());
        let socket = self.fixed.home.join(admin::SOCKET);
        let nothing =
            View { router, sources: Vec::new(), targets: Vec::new(), unrouted: Vec::new() };
        let admin = Admin::start(&self.receiving, &socket, nothing, queue, feed, reload);
        *lock(&self.admin) = admin.map_err(|error| tracing::error!("{error}")).ok();
    }

    fn show(&self, view: View) {
        if let Some(admin) = &*lock(&self.admin) {
            admin.show(view);
        }
    }

    pub(super) fn close_admin(&self) {
        let admin = lock(&self.admin).take();
        drop(admin);
    }
}

/// Lets people ask for a reload without keeping the daemon's parts alive.
struct WeakReloader(Weak<Reloader>);

impl Host for WeakReloader {
    fn reload(&self, allow_empty: bool) -> Option<admin::wire::Reload> {
        self.0.upgrade().map(|reloader| to_wire(reloader.reload(allow_empty)))
    }

    fn last_reload(&self) -> Option<admin::wire::Reload> {
        self.0.upgrade()?.last().map(to_wire)
    }

    fn in_force(&self) -> Option<admin::wire::InForce> {
        let in_force = self.0.upgrade()?.ingest.in_force();
        // 0 is before the first.
        (in_force.generation > 0).then(|| in_force_to_wire(in_force))
    }

    fn resume(&self, target: TargetNumber) {
        if let Some(reloader) = self.0.upgrade() {
            reloader.deliverer.resume(target);
        }
    }

    fn counters(&self, target: TargetNumber) -> BTreeMap<String, u64> {
        self.0.upgrade().map(|reloader| reloader.deliverer.counters(target)).unwrap_or_default()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_loss_of_every_source_or_every_target_looks_like_a_mistake() {
        for (before, after, lost) in [
            ((2, 1), (0, 1), Some("source (2 now)")),
            ((1, 3), (1, 0), Some("target (3 now)")),
            ((1, 1), (0, 0), Some("source (1 now)")),
            ((5, 5), (1, 1), None),
            ((0, 0), (0, 0), None),
            ((0, 0), (1, 1), None),
        ] {
            let count = |(sources, targets)| Count { sources, targets };
            let reason = count(before).loses_all(count(after));
            let expected = lost.is_some();
            assert_eq!(reason.is_some(), expected, "{before:?} {after:?}");
            assert!(reason.is_none_or(|reason| reason.contains(lost.unwrap())));
        }
    }
}
