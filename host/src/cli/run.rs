//! `dispatcher run`: the daemon in the foreground.

use super::exit::Failure;
use crate::config::Config;

/// Receive and deliver until SIGTERM or Ctrl-C
///
/// Reads the configuration, listens on `server.listen` and delivers. On SIGTERM or SIGINT it stops
/// accepting, finishes what it has begun and exits 0. Logs go to standard error.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct RunArgs {}

/// Runs until a signal.
pub(super) fn run(_args: &RunArgs, _config: Config) -> Result<(), Failure> {
    Err(Failure::new("`run` is not wired yet"))
}
