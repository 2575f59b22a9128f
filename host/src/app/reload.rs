//! Another configuration without a restart: read and checked as a whole, then exchanged as a whole.
//!
//! Nothing is changed before all of it is known to be sound: the file, what it names, the plugins as
//! they are now, and whether they accept their settings. Then requests are received by the new
//! configuration from one to the next, and only targets that differ are exchanged, each after its old
//! instance has ended. No connection is closed.
//!
//! `env:` is what the process was started with; `file:`, `credential:` and `dispatcher.env` are read
//! again. [`Reloaded::restart`] names what only a restart changes; everything else is in force.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::check::check_with;
use super::lent::Lent;
use super::recipe::{Changes, Recipes};
use super::watch::Watched;
use super::{DELIVERY_GRACE, wire};
use crate::admin::{self, Admin, Host, View};
use crate::config::{Config, Environment, Problem, load_again};
use crate::deliver::Deliverer;
use crate::ingest::Ingest;
use crate::model::{TargetNumber, Timestamp};
use crate::net;
use crate::store::{Queue, embedded};
use crate::telemetry::{AlarmKind, Feed};

/// What a reload changed.
#[derive(Clone, Debug)]
pub struct Reloaded {
    pub at: Timestamp,
    /// Hash of the configuration's text, kept with each request from now on.
    pub config: u64,
    /// Targets that work now and did not before.
    pub started: Vec<Arc<str>>,
    /// Targets that go on with other settings or another plugin once their old instance has ended.
    pub exchanged: Vec<Arc<str>>,
    /// Targets that claim no more. What waits for them is kept, and goes on when they come back.
    pub ended: Vec<Arc<str>>,
    /// Keys whose new values need a restart.
    pub restart: Vec<&'static str>,
    /// One line each.
    pub warnings: Vec<String>,
}

/// Why a reload changed nothing.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{count}; nothing was changed")]
pub struct Rejected {
    pub at: Timestamp,
    /// `2 errors, 1 warning`.
    pub count: String,
    /// Every problem with its place, for people; several lines.
    pub problems: String,
}

impl Rejected {
    fn new(count: impl Into<String>, problems: impl fmt::Display) -> Self {
        Self { at: now(), count: count.into(), problems: problems.to_string() }
    }

    fn by_the_host(reason: impl fmt::Display) -> Self {
        Self::new("1 error", reason)
    }
}

/// Lets people ask for a reload without keeping the daemon's parts alive.
struct Asked(Weak<Reloader>);

impl Host for Asked {
    fn reload(&self) -> Option<admin::wire::Reload> {
        self.0.upgrade().map(|reloader| told(reloader.reload()))
    }

    fn last_reload(&self) -> Option<admin::wire::Reload> {
        self.0.upgrade()?.last().map(told)
    }

    fn counters(&self, target: TargetNumber) -> BTreeMap<String, u64> {
        self.0.upgrade().map(|reloader| reloader.deliverer.counters(target)).unwrap_or_default()
    }
}

/// As people are shown it.
fn told(result: Result<Reloaded, Rejected>) -> admin::wire::Reload {
    let names = |names: Vec<Arc<str>>| names.iter().map(ToString::to_string).collect();
    match result {
        Ok(reloaded) => admin::wire::Reload {
            time: reloaded.at.to_string(),
            refused: None,
            problems: String::new(),
            started: names(reloaded.started),
            exchanged: names(reloaded.exchanged),
            ended: names(reloaded.ended),
            restart: reloaded.restart.into_iter().map(str::to_owned).collect(),
            warnings: reloaded.warnings,
        },
        Err(rejected) => admin::wire::Reload {
            time: rejected.at.to_string(),
            refused: Some(rejected.to_string()),
            problems: rejected.problems,
            ..admin::wire::Reload::default()
        },
    }
}

/// What cannot change while the daemon runs.
#[derive(Debug)]
pub(super) struct Fixed {
    pub(super) file: PathBuf,
    pub(super) home: PathBuf,
    pub(super) server: net::Settings,
    /// In force; with port 0 another than the file's.
    pub(super) address: SocketAddr,
    pub(super) store: embedded::Settings,
}

/// The parts of a running daemon that a reload reaches. Once the daemon was stopped, it only refuses.
pub struct Reloader {
    pub(super) fixed: Fixed,
    pub(super) receiving: Handle,
    pub(super) delivering: Handle,
    pub(super) queue: Arc<dyn Queue>,
    pub(super) feed: Feed,
    pub(super) ingest: Arc<Ingest>,
    pub(super) deliverer: Deliverer,
    pub(super) watched: watch::Sender<Option<Watched>>,
    /// `None` before and after, and when the socket could not be had, which the log says.
    pub(super) admin: Mutex<Option<Admin>>,
    /// Of the targets that work; locked for as long as a reload takes, so that there is one at a time.
    pub(super) recipes: Mutex<Recipes>,
    pub(super) last: Mutex<Option<Result<Reloaded, Rejected>>>,
}

impl fmt::Debug for Reloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloader").field("fixed", &self.fixed).finish_non_exhaustive()
    }
}

impl Reloader {
    /// Reads the configuration's file again and exchanges all that it says, or nothing. What happened
    /// is logged and kept as [`last`](Self::last). Blocks: not for a task of a runtime.
    ///
    /// # Errors
    /// Something is wrong with the configuration, or the store fails.
    pub fn reload(&self) -> Result<Reloaded, Rejected> {
        let mut recipes = lock(&self.recipes);
        let result = self.exchange(&mut recipes);
        match &result {
            Ok(reloaded) => reloaded.log(),
            Err(rejected) => {
                tracing::error!("reload refused: {rejected}\n{}", rejected.problems);
                let (file, reason) = (self.fixed.file.display().to_string(), rejected.to_string());
                self.feed.alarms().raise(AlarmKind::ConfigRejected, &file.into(), 1, &reason);
            }
        }
        *lock(&self.last) = Some(result.clone());
        result
    }

    /// How the last reload went; none since the start.
    #[must_use]
    pub fn last(&self) -> Option<Result<Reloaded, Rejected>> {
        lock(&self.last).clone()
    }

    /// Opens the socket for people. Receiving and delivering matter more than being asked: when it
    /// cannot be had, the log says so.
    pub(super) fn serve_people(self: &Arc<Self>, view: View) {
        let asked = Arc::new(Asked(Arc::downgrade(self)));
        let (queue, feed) = (Arc::clone(&self.queue), self.feed.clone());
        let socket = self.fixed.home.join(admin::SOCKET);
        let admin = Admin::start(&self.receiving, &socket, view, queue, feed, asked);
        *lock(&self.admin) = admin.map_err(|error| tracing::error!("{error}")).ok();
    }

    pub(super) fn leave_people(&self) {
        let admin = lock(&self.admin).take();
        drop(admin);
    }

    fn exchange(&self, recipes: &mut Recipes) -> Result<Reloaded, Rejected> {
        let (config, lent) = self.load()?;
        let ways = wire::ways(&config, &lent, &self.feed);
        if let Some(name) = wire::unusable(&ways) {
            let reason =
                format!("the plugin of target `{name}` took its settings, and then did not");
            return Err(Rejected::by_the_host(reason));
        }
        // A name that is new is the one thing that stays when the store fails here; it does nothing.
        let numbers = self.receiving.block_on(self.queue.register(wire::names(&ways)));
        let numbers = numbers.map_err(Rejected::by_the_host)?;
        self.queue.may_overflow(wire::overflowing(&ways, &numbers));
        let new = wire::recipes(&ways, &numbers);
        let changes = Changes::between(recipes, &new);
        let reloaded = self.reloaded(&config, recipes, &new, &changes);
        let router = Arc::new(wire::router(&ways, &numbers));
        let view = wire::view(&config, &ways, &numbers, Arc::clone(&router), self.fixed.address);
        // Fails only when nobody watches any more: the daemon stops.
        let _ = self.watched.send(Some(Watched::of(&config)));
        self.ingest.change(config.ingest.clone(), router);
        let begun = wire::backends(ways, &numbers, &*self.queue, |number| changes.begins(number));
        self.deliverer.change(&changes.ended, begun, DELIVERY_GRACE);
        if let Some(admin) = &*lock(&self.admin) {
            admin.show(view);
        }
        *recipes = new;
        Ok(reloaded)
    }

    /// Everything that can be wrong, all at once.
    fn load(&self) -> Result<(Config, Lent), Rejected> {
        let mut lent = None;
        let environment = Environment::of_process();
        let further = |config: &Config| match Lent::new(config, &config.plugins, &self.delivering) {
            Ok(made) => check_with(config, lent.insert(made)),
            Err(error) => vec![Problem::error(error.to_string())],
        };
        let config = load_again(&self.fixed.file, &environment, &self.fixed.home, further)
            .map_err(|problems| Rejected::new(problems.count(), &problems))?;
        let lent = lent.ok_or_else(|| Rejected::by_the_host("plugins were not looked for"))?;
        lent.log_bad_files();
        Ok((config, lent))
    }

    fn reloaded(
        &self,
        config: &Config,
        old: &Recipes,
        new: &Recipes,
        changes: &Changes,
    ) -> Reloaded {
        let names = |recipes: &Recipes, numbers: &[TargetNumber]| {
            let named = numbers.iter().filter_map(|number| recipes.get(number));
            named.map(|(name, _)| Arc::clone(name)).collect()
        };
        let warnings = config.problems(Vec::new()).lines();
        Reloaded {
            at: now(),
            config: config.hash,
            started: names(new, &changes.started),
            exchanged: names(new, &changes.exchanged),
            ended: names(old, &changes.ended),
            restart: self.fixed.differences(config),
            warnings,
        }
    }
}

impl Reloaded {
    fn log(&self) {
        for warning in &self.warnings {
            tracing::warn!("{warning}");
        }
        for key in &self.restart {
            tracing::warn!("{key} was changed, which needs a restart; all else is in force");
        }
        tracing::info!(
            config = format_args!("{:016x}", self.config),
            started = self.started.join(", "),
            exchanged = self.exchanged.join(", "),
            ended = self.ended.join(", "),
            "reloaded"
        );
    }
}

impl Fixed {
    pub(super) fn of(config: &Config, address: SocketAddr) -> Self {
        let (server, store) = (config.server.clone(), config.store.clone());
        Self { file: config.file.clone(), home: config.home.clone(), server, address, store }
    }

    /// Keys whose values in the file are not those in force.
    fn differences(&self, config: &Config) -> Vec<&'static str> {
        let (server, other) = (&self.server, &config.server);
        let keys = [
            ("home", self.home != config.home_in_file),
            ("server.listen", server.listen != other.listen),
            ("server.header_timeout", server.header_timeout != other.header_timeout),
            ("server.idle_timeout", server.idle_timeout != other.idle_timeout),
            ("server.drain_timeout", server.drain_timeout != other.drain_timeout),
            ("server.trusted_proxies", server.trusted_proxies != other.trusted_proxies),
            ("server.proxy_protocol", server.proxy_protocol != other.proxy_protocol),
            ("server.connections_max", server.connections_max != other.connections_max),
            ("store.directory", self.store.directory != config.store.directory),
            ("store.free_min", self.store.free_min_bytes != config.store.free_min_bytes),
            ("store.retention.age", self.store.retention_age_ms != config.store.retention_age_ms),
            ("store.retention.size", self.store.retention_bytes != config.store.retention_bytes),
            ("store.segment", self.store.segment_bytes != config.store.segment_bytes),
        ];
        keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
