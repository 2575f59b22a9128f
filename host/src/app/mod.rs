//! The running daemon: wires the parts, starts them, stops them in order.
//!
//! [`App::start`] lets nobody in before everything behind stands. Receiving and delivering have a
//! runtime each, so that a plugin that hangs a thread cannot delay an answer.

mod check;
mod disk;
mod fan;
mod kept;
mod lent;
mod limits;
mod own;
mod plugins;
mod recipe;
mod reload;
mod silence;
mod trial;
mod watch;
mod wire;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::deliver::{self, Deliverer};
use crate::ingest::Ingest;
use crate::net::{self, Listener};
use crate::store::Queue;
use crate::store::embedded::Embedded;
use crate::telemetry::Feed;

pub use check::check;
use lent::Lent;
pub use plugins::{Listed, plugin_file, plugins};
use reload::Fixed;
pub use reload::{Rejected, Reloaded, Reloader};
pub use trial::{Attempt, Probe, attempt, connect};

/// How long a stop, and a target that is exchanged, waits for attempts that run.
pub const DELIVERY_GRACE: Duration = Duration::from_secs(15);

/// Why the daemon did not start or stop well: one line that says what, where and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct AppError(String);

impl AppError {
    fn new(reason: impl std::fmt::Display) -> Self {
        Self(reason.to_string())
    }
}

/// A running daemon. Dropping it without [`stop`](Self::stop) is like a crash: safe, but not tidy.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    receiving: Runtime,
    delivering: Runtime,
    queue: Arc<Embedded>,
    reloader: Arc<Reloader>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
    watching: JoinHandle<()>,
}

impl App {
    /// Starts all parts.
    ///
    /// # Errors
    /// The address is taken, the store cannot be opened or a thread cannot be started. A target whose
    /// plugin cannot be used is none: the log says why, and its deliveries wait for the next start.
    pub fn start(config: &Config, feed: &Feed) -> Result<Self, AppError> {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let receiving = runtime("receive", cores)?;
        let delivering = runtime("deliver", deliver::worker_threads(cores))?;
        let listener = {
            let _context = receiving.enter();
            limits::outlive_file_limits();
            let connections_max = limits::connections(config.server.connections_max);
            let server = net::Settings { connections_max, ..config.server.clone() };
            Listener::bind(&server).map_err(AppError::new)?
        };
        let address = listener.local_addr();
        let queue = Embedded::open(config.store.clone()).map_err(AppError::new)?;
        let shared: Arc<dyn Queue> = queue.clone();
        let lent = Lent::new(config, &config.plugins, delivering.handle())?;
        lent.log_bad_files();
        let ways = wire::ways(config, &lent, feed);
        let numbers =
            receiving.block_on(shared.register(wire::names(&ways))).map_err(AppError::new)?;
        shared.may_overflow(wire::overflowing(&ways, &numbers));
        let router = Arc::new(wire::router(&ways, &numbers));
        let recipes = Mutex::new(wire::recipes(&ways, &numbers));
        let view = wire::view(config, &ways, &numbers, Arc::clone(&router), address);
        let backends = wire::backends(ways, &numbers, &*shared, |_| true);
        let deliverer =
            Deliverer::start(delivering.handle(), shared.clone(), backends, feed.clone());
        let ingest = Ingest::new(config.ingest.clone(), shared.clone(), router, feed.clone());
        let ingest = Arc::new(ingest);
        receiving.spawn(own::run(feed.clone(), shared.clone(), Arc::clone(&ingest)));
        let (watched, watching) = watch::start(config, queue.clone(), feed, receiving.handle());
        let (stop, stopped) = oneshot::channel();
        let served = receiving.spawn(listener.serve(Arc::clone(&ingest), async {
            // A dropped sender stops as well.
            let _ = stopped.await;
        }));
        let reloader = Arc::new(Reloader {
            fixed: Fixed::of(config, address),
            receiving: receiving.handle().clone(),
            delivering: delivering.handle().clone(),
            queue: shared,
            feed: feed.clone(),
            ingest,
            deliverer,
            watched,
            admin: Mutex::default(),
            recipes,
            last: Mutex::default(),
        });
        reloader.serve_people(view);
        Ok(Self { address, receiving, delivering, queue, reloader, stop, served, watching })
    }

    /// Where requests are received.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// See [`Reloader::reload`].
    ///
    /// # Errors
    /// Something in the configuration is wrong; nothing was changed.
    pub fn reload(&self) -> Result<Reloaded, Rejected> {
        self.reloader.reload()
    }

    /// For those who reload beside the thread that will stop the daemon.
    #[must_use]
    pub fn reloader(&self) -> Arc<Reloader> {
        Arc::clone(&self.reloader)
    }

    /// Stops in the order of the flow: no more connections, finish requests, no more claims, wait for
    /// attempts, flush the store.
    ///
    /// # Errors
    /// The last outcomes could not be flushed: what they settled may be delivered again.
    pub fn stop(self) -> Result<(), AppError> {
        // Fails only when serving has ended already.
        let _ = self.stop.send(());
        let served = self.receiving.block_on(self.served);
        self.reloader.watched.send_replace(None);
        // What it could not write is in the log.
        let _ = self.receiving.block_on(self.watching);
        self.reloader.leave_people();
        self.receiving.block_on(self.reloader.deliverer.stop(DELIVERY_GRACE));
        let closed = self.receiving.block_on(self.queue.close());
        // A plugin may block a thread for ever: it is left behind.
        self.delivering.shutdown_background();
        self.receiving.shutdown_background();
        served.map_err(AppError::new)?;
        closed.map_err(AppError::new)
    }
}

fn runtime(name: &str, threads: usize) -> Result<Runtime, AppError> {
    Builder::new_multi_thread()
        .thread_name(name)
        .worker_threads(threads)
        .enable_all()
        .build()
        .map_err(|error| AppError(format!("cannot start the threads `{name}`: {error}")))
}
