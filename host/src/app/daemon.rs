//! Starts all parts of the daemon and stops them in order.
//!
//! [`App::start`] accepts traffic only once everything behind it runs. Receiving and delivering have a
//! runtime each, so that a plugin that blocks a thread cannot delay an answer.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::plugin_host::PluginHost;
use super::prepare::{Prepared, Scope};
use super::reload::DELIVERY_GRACE;
use super::restart::Fixed;
use super::{AppError, Reloader, check, limits, monitor, own_events};
use crate::config::Config;
use crate::deliver::{self, Deliverer};
use crate::ingest::{self, Ingest};
use crate::net::{self, Listener};
use crate::route::Router;
use crate::store::Queue;
use crate::store::embedded::Embedded;
use crate::telemetry::Feed;

/// A running daemon. Dropping it without [`stop`](Self::stop) is like a crash: nothing acknowledged is lost.
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
    /// The address is taken, the store cannot be opened or a thread cannot be started. A target whose plugin
    /// cannot be used is not an error: the log says why, and its deliveries wait.
    pub fn start(config: &Config, feed: &Feed) -> Result<Self, AppError> {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let receiving = runtime("receive", cores)?;
        let delivering = runtime("deliver", deliver::worker_threads(cores))?;
        let listener = bind(config, &receiving)?;
        let address = listener.local_addr();
        let queue = Embedded::open(config.store.clone())?;
        let shared: Arc<dyn Queue> = queue.clone();
        let host = PluginHost::new(config, &config.plugins, delivering.handle())?;
        host.log_bad_files();
        let mut prepared = Prepared::new(config, &host, Scope::Enabled);
        for shared in check::shared_files(config, &host) {
            prepared.refuse(&shared);
        }
        for problem in check::not_writable(config, &host, Scope::Enabled) {
            let is_error = problem.is_error();
            for line in config.only(vec![problem]).lines() {
                if is_error { tracing::error!("{line}") } else { tracing::warn!("{line}") }
            }
        }
        let ingest = Arc::new(idle_ingest(config, &shared, feed));
        let (watched, watching) = monitor::start(config, queue.clone(), feed, receiving.handle());
        let reloader = Arc::new(Reloader {
            fixed: Fixed::of(config, address),
            receiving: receiving.handle().clone(),
            delivering: delivering.handle().clone(),
            queue: shared.clone(),
            feed: feed.clone(),
            ingest: Arc::clone(&ingest),
            deliverer: Deliverer::start(
                delivering.handle(),
                shared.clone(),
                Vec::new(),
                feed.clone(),
            ),
            watched,
            admin: Mutex::default(),
            in_force: Mutex::default(),
            last: Mutex::default(),
        });
        reloader.start(config, prepared.targets)?;
        // Needs the routes that are now in force.
        receiving.spawn(own_events::run(feed.clone(), shared, Arc::clone(&ingest)));
        let (stop, stopped) = oneshot::channel();
        let served = receiving.spawn(listener.serve(ingest, async {
            // A dropped sender stops as well.
            let _ = stopped.await;
        }));
        Ok(Self { address, receiving, delivering, queue, reloader, stop, served, watching })
    }

    /// Where requests are received.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// For a reload on another thread than the one that stops the daemon.
    #[must_use]
    pub fn reloader(&self) -> Arc<Reloader> {
        Arc::clone(&self.reloader)
    }

    /// Stops in the order of the data flow: accepts no more connections, finishes requests, claims no more
    /// deliveries, waits for attempts, flushes the store.
    ///
    /// # Errors
    /// The last outcomes could not be flushed: what they settled may be delivered again.
    pub fn stop(self) -> Result<(), AppError> {
        // Fails only when serving has already ended.
        let _ = self.stop.send(());
        let served = self.receiving.block_on(self.served);
        self.reloader.watched.send_replace(None);
        // It logs what it cannot write.
        let _ = self.receiving.block_on(self.watching);
        self.reloader.close_admin();
        self.receiving.block_on(self.reloader.deliverer.stop(DELIVERY_GRACE));
        let closed = self.receiving.block_on(self.queue.close());
        // A plugin may block a thread for ever: do not wait for it.
        self.delivering.shutdown_background();
        self.receiving.shutdown_background();
        served?;
        Ok(closed?)
    }
}

fn runtime(name: &'static str, threads: usize) -> Result<Runtime, AppError> {
    Builder::new_multi_thread()
        .thread_name(name)
        .worker_threads(threads)
        .enable_all()
        .build()
        .map_err(|source| AppError::Threads { name, source })
}

/// Fits the number of connections to the limits of the process.
fn bind(config: &Config, receiving: &Runtime) -> Result<Listener, AppError> {
    let _context = receiving.enter();
    limits::survive_file_size_limit();
    let connections_max = limits::connections(config.server.connections_max);
    let server = net::Settings { connections_max, ..config.server.clone() };
    Ok(Listener::bind(&server)?)
}

/// Without sources, until the configuration comes into force.
fn idle_ingest(config: &Config, queue: &Arc<dyn Queue>, feed: &Feed) -> Ingest {
    let settings = ingest::Settings { sources: Vec::new(), ..config.ingest.clone() };
    let router = Arc::new(Router::new(Vec::new()));
    Ingest::new(settings, Arc::clone(queue), router, feed.clone())
}
