//! What a running daemon reports of itself.

use std::io;
use std::path::Path;

use crate::admin::wire::Status;
use crate::cli::ask;

/// The status of the daemon with that configuration. Blocks: not for a task of a runtime.
///
/// # Errors
/// No daemon answers.
pub fn status(config: &Path) -> io::Result<Status> {
    let daemon =
        ask::Daemon::find(Some(config)).map_err(|failure| io::Error::other(failure.text))?;
    daemon.get("/status").map_err(|failure| io::Error::other(failure.text))
}
