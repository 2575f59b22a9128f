//! `dispatcher demo`: the main job on this machine, without configuration.

use std::io;

/// See it work on this machine: no configuration needed
#[derive(Clone, Debug, clap::Args)]
pub(super) struct DemoArgs {
    /// End after the checks instead of serving on.
    #[arg(long)]
    once: bool,
}

/// Whether all went as promised.
pub(super) fn run(args: &DemoArgs) -> io::Result<bool> {
    Err(io::Error::other(format!("`demo` is not wired yet (once: {})", args.once)))
}
