//! `dispatcher run`: the daemon in the foreground.

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::exit::{self, Failure};
use super::{logging, out};
use crate::app::{App, Reloader, restart_keys};
use crate::config::Config;
use crate::telemetry::Feed;

/// Receive and deliver until SIGTERM or Ctrl-C
///
/// Reads the configuration, listens on `server.listen` and delivers. On SIGTERM or SIGINT it accepts no
/// more connections, finishes running requests and attempts, and exits 0; a second signal ends it at
/// once. Logs go to standard error.
///
/// On SIGHUP it reads the configuration again, with the files that it names, dispatcher.env and the
/// plugins. No request and no connection is lost. If there is an error, nothing changes, and the log
/// shows every problem. A changed target finishes its running attempts (for up to 15 s) before it
/// continues with the new settings; a removed target keeps its backlog until its name comes back.
/// Environment variables are those of the start.
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = restart_help())]
pub(super) struct RunArgs {
    /// Ends at once when its standard input ends: a child of `demo` and `selftest` does not outlive them.
    #[arg(long, hide = true)]
    end_with_input: bool,
}

/// The keys that a reload cannot change.
fn restart_help() -> String {
    let mut text =
        "These keys need a restart; when a reload finds one changed, it says so:".to_owned();
    for key in restart_keys() {
        text.push_str("\n  ");
        text.push_str(key);
    }
    text
}

/// Runs until a signal.
pub(super) fn run(args: &RunArgs, config: &Config) -> Result<(), Failure> {
    if args.end_with_input {
        exit_at_the_end_of_the_input()?;
    }
    let mut signals = Signals::new()?;
    // From now on, SIGHUP does not end the process.
    let reloads = Reloads::new()?;
    let app = App::start(config, &Feed::default()).map_err(Failure::new)?;
    out::announce(format!("listening on http://{}", app.address()))?;
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

fn exit_at_the_end_of_the_input() -> io::Result<()> {
    let wait_and_exit = || {
        // An error ends it too.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        logging::exit(exit::PROBLEMS);
    };
    thread::Builder::new().name("input".to_owned()).spawn(wait_and_exit).map(|_| ())
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

    /// Returns when one of them arrives.
    pub(super) fn wait(&mut self) {
        let Self { runtime, term, int } = self;
        runtime.block_on(async {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
        });
    }

    /// For a person who does not want to wait for running requests and attempts.
    fn exit_on_the_next(mut self) -> io::Result<()> {
        let wait_and_exit = move || {
            self.wait();
            logging::exit(exit::PROBLEMS);
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

    /// Reloads on a thread of its own, so that a long reload does not delay a stop. Signals that arrive
    /// during a reload cause one more.
    fn follow(mut self, reloader: Arc<Reloader>) -> io::Result<()> {
        let reload = move || {
            while self.runtime.block_on(self.hup.recv()).is_some() {
                // The outcome is logged.
                let _ = reloader.reload(false);
            }
        };
        thread::Builder::new().name("reload".to_owned()).spawn(reload).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use clap::Args as _;

    use super::*;

    #[test]
    fn the_help_lists_every_key_that_needs_a_restart() {
        let help = RunArgs::augment_args(clap::Command::new("run")).render_long_help().to_string();
        for key in restart_keys() {
            assert!(help.lines().any(|line| line.trim() == key), "{key} is not in:\n{help}");
        }
    }
}
