//! `dispatcher run`: the daemon in the foreground.

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::exit::{self, Failure};
use super::out;
use crate::app::{App, Reloader};
use crate::config::Config;
use crate::telemetry::Feed;

/// Receive and deliver until SIGTERM or Ctrl-C
///
/// Reads the configuration, listens on `server.listen` and delivers. On SIGTERM or SIGINT it stops
/// accepting, finishes what it has begun and exits 0; a second signal ends it at once. Logs go to
/// standard error.
///
/// On SIGHUP it reads the configuration again, the files that it names, dispatcher.env and the plugins
/// too, and drops no request and no connection. With one error in it nothing changes, and the log shows
/// every problem. A target that differs finishes what it has begun (for up to 15 s) before it goes on
/// with its new settings; one that is gone keeps what waits for it until its name comes back. These keys
/// need a restart, which the log says when they were changed: home, store.directory, store.free_min,
/// store.segment, server.listen, server.header_timeout, server.idle_timeout, server.drain_timeout and
/// server.connections_max. Environment variables are those of the start.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct RunArgs {}

/// Runs until a signal.
pub(super) fn run(_args: &RunArgs, config: &Config) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    // From here on it ends the process no more.
    let reloads = Reloads::new()?;
    let app = App::start(config, &Feed::default()).map_err(Failure::new)?;
    out::line(&format!("listening on http://{}", app.address()));
    tracing::info!(
        home = %config.home.display(),
        sources = config.ingest.sources.len(),
        targets = config.targets.len(),
        "ready"
    );
    reloads.follow(app.reloader())?;
    signals.wait();
    tracing::info!("stopping; a second signal stops at once");
    signals.exit_on_the_next()?;
    app.stop().map_err(Failure::new)?;
    tracing::info!("stopped");
    Ok(())
}

/// SIGTERM and SIGINT, watched from the moment this is made.
pub(super) struct Signals {
    runtime: Runtime,
    term: Signal,
    int: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let context = runtime.enter();
        let (term, int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        drop(context);
        Ok(Self { runtime, term, int })
    }

    /// Returns when one of them comes.
    pub(super) fn wait(&mut self) {
        let Self { runtime, term, int } = self;
        runtime.block_on(async {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
        });
    }

    /// For a person who does not want to wait for the end of what was begun.
    fn exit_on_the_next(mut self) -> io::Result<()> {
        let wait_and_exit = move || {
            self.wait();
            std::process::exit(exit::PROBLEMS.into());
        };
        thread::Builder::new().name("signals".to_owned()).spawn(wait_and_exit).map(|_| ())
    }
}

/// SIGHUP, watched from the moment this is made.
struct Reloads {
    runtime: Runtime,
    hup: Signal,
}

impl Reloads {
    fn new() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let context = runtime.enter();
        let hup = signal(SignalKind::hangup())?;
        drop(context);
        Ok(Self { runtime, hup })
    }

    /// Reloads on a thread of its own, so that a reload that takes long delays no stop. Signals that
    /// come during one are one more.
    fn follow(mut self, reloader: Arc<Reloader>) -> io::Result<()> {
        let reload = move || {
            while self.runtime.block_on(self.hup.recv()).is_some() {
                // The log has said how it went.
                let _ = reloader.reload();
            }
        };
        thread::Builder::new().name("reload".to_owned()).spawn(reload).map(|_| ())
    }
}
