//! The running daemon: wires the parts, starts them, stops them in order.
//!
//! [`App::start`] opens nothing to the public before everything behind it stands, and undoes what it
//! did when a later step fails. Receiving and delivering have a runtime each, so that a plugin that
//! hangs a worker thread cannot delay an answer.

mod check;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::config::Config;
use crate::deliver::Deliverer;
use crate::ingest::Ingest;
use crate::net::Listener;
use crate::store::Queue;
use crate::store::embedded::Embedded;
use crate::telemetry::Feed;

pub use check::check;

/// How long a stop waits for requests in flight.
pub const DRAIN_GRACE: Duration = Duration::from_secs(10);
/// How long a stop waits for running attempts.
pub const DELIVERY_GRACE: Duration = Duration::from_secs(15);

/// Why the daemon did not start: one line that says what, where and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(String);

impl StartError {
    fn new(reason: impl std::fmt::Display) -> Self {
        Self(reason.to_string())
    }
}

/// A running daemon. Dropping it without [`stop`](App::stop) is like a crash: safe, but not tidy.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    receiving: Runtime,
    delivering: Runtime,
    queue: Arc<Embedded>,
    deliverer: Deliverer,
    stop: watch::Sender<bool>,
    served: tokio::task::JoinHandle<()>,
}

impl App {
    /// Starts all parts of `config`.
    ///
    /// # Errors
    /// When the address is taken, the store cannot be opened or a thread cannot be started. A target
    /// whose plugin cannot be loaded is no error: its deliveries wait.
    pub fn start(config: Config, feed: Feed) -> Result<Self, StartError> {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let receiving = runtime("receive", cores)?;
        let delivering = runtime("deliver", cores)?;
        let listener = receiving
            .block_on(Listener::bind(&config.server))
            .map_err(StartError::new)?;
        let address = listener.local_addr();
        let queue = Embedded::open(config.store.clone()).map_err(StartError::new)?;
        let wired = receiving.block_on(wire::wire(&config, &queue, &delivering, &feed))?;
        let deliverer = Deliverer::start(
            delivering.handle(),
            queue.clone() as Arc<dyn Queue>,
            wired.deliveries,
            feed.clone(),
        );
        let ingest = Ingest::new(config.ingest, queue.clone(), wired.router, feed);
        let (stop, stopped) = watch::channel(false);
        let served = receiving.spawn(listener.serve(Arc::new(ingest), stopped, DRAIN_GRACE));
        Ok(Self { address, receiving, delivering, queue, deliverer, stop, served })
    }

    /// Where requests are received.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for SIGTERM or SIGINT.
    ///
    /// # Errors
    /// When the signals cannot be watched.
    pub fn wait_for_signal(&self) -> io::Result<()> {
        self.receiving.block_on(stop_signal())
    }

    /// Stops in the order of the flow: no more connections, finish requests, no more claims, wait for
    /// attempts, flush the store.
    ///
    /// # Errors
    /// When the store could not be flushed; what it holds is delivered after the next start.
    pub fn stop(self) -> Result<(), StartError> {
        // Nobody listens only when serving has ended already.
        let _ = self.stop.send(true);
        let _ = self.receiving.block_on(self.served);
        self.delivering.block_on(self.deliverer.stop(DELIVERY_GRACE));
        let closed = self.receiving.block_on(self.queue.close());
        // A plugin may block a thread for ever: it is left behind.
        self.delivering.shutdown_background();
        self.receiving.shutdown_background();
        closed.map_err(StartError::new)
    }
}

/// Waits for SIGTERM or SIGINT.
///
/// # Errors
/// When the signals cannot be watched.
pub async fn stop_signal() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    Ok(())
}

fn runtime(name: &str, threads: usize) -> Result<Runtime, StartError> {
    tokio::runtime::Builder::new_multi_thread()
        .thread_name(name)
        .worker_threads(threads)
        .enable_all()
        .build()
        .map_err(|e| StartError(format!("cannot start threads for `{name}`: {e}")))
}
