//! `dispatcher run`: the daemon in the foreground.

use std::io;
use std::thread;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::exit::{self, Failure};
use super::out;
use crate::app::App;
use crate::config::Config;
use crate::telemetry::Feed;

/// Receive and deliver until SIGTERM or Ctrl-C
///
/// Reads the configuration, listens on `server.listen` and delivers. On SIGTERM or SIGINT it stops
/// accepting, finishes what it has begun and exits 0; a second signal ends it at once. Logs go to
/// standard error.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct RunArgs {}

/// Runs until a signal.
pub(super) fn run(_args: &RunArgs, config: &Config) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let app = App::start(config, &Feed::default()).map_err(Failure::new)?;
    out::line(&format!("listening on http://{}", app.address()));
    tracing::info!(
        home = %config.home.display(),
        sources = config.ingest.sources.len(),
        targets = config.targets.len(),
        "ready"
    );
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
