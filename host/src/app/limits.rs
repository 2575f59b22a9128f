//! Limits that the system sets to the process.

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

/// Open files for everything else: the store, plugins and their connections.
const FILES_RESERVED: u64 = 1_024;
/// `SIGXFSZ`, on every Linux but MIPS.
const FILE_TOO_LARGE: i32 = 25;

/// Raises the soft limit of open files to the hard one: each connection takes a file, and the usual
/// soft limit of 1,024 is less than the connections that may be open. Returns how many of
/// `connections_max` the limit allows.
pub(super) fn connections(connections_max: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let mut current = limit.current;
    if current != limit.maximum {
        let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => current = limit.maximum,
            Err(error) => tracing::warn!(%error, "cannot raise the limit of open files"),
        }
    }
    let fitted = fitted(connections_max, current);
    if fitted < connections_max {
        tracing::warn!(
            connections_max,
            open_files_max = current,
            "the limit of open files allows {fitted} connections: raise it, or lower server.connections_max"
        );
    }
    fitted
}

/// A write above the limit of file sizes (`RLIMIT_FSIZE`) sends a signal that ends the process. With a handler
/// for it the write fails instead, and is treated like a full disk. Needs a runtime's context.
pub(super) fn survive_file_size_limit() {
    if let Err(error) = signal(SignalKind::from_raw(FILE_TOO_LARGE)) {
        tracing::warn!(%error, "a write above the limit of file sizes would end the process");
    }
}

fn fitted(connections_max: usize, open_files: Option<u64>) -> usize {
    let Some(files) = open_files else { return connections_max };
    let left = files - FILES_RESERVED.min(files / 2);
    connections_max.min(usize::try_from(left).unwrap_or(usize::MAX)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_open_files_for_everything_else() {
        for (files, expected) in [
            (None, 16_384),
            (Some(1 << 20), 16_384),
            (Some(4_096), 3_072),
            (Some(1_024), 512),
            (Some(1), 1),
        ] {
            assert_eq!(fitted(16_384, files), expected, "{files:?}");
        }
        assert_eq!(fitted(7, Some(1_024)), 7);
    }
}
