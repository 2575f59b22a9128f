//! Plugins: finding their files, loading them, and calling their targets.
//!
//! A file is only trusted step by step: its name, its owner and mode, what its ELF sections say without
//! running any code ([`Catalog::scan`]); then a private copy named by its hash is loaded, because a file
//! that changes while it is mapped kills the process; then layout and manifest. Whatever is wrong with
//! a file is one line of at most [`PROBLEM_BYTES_MAX`] bytes and concerns that file alone.
//!
//! Loaded code is never unloaded, and it is part of this process: it can crash it. A panic cannot: it
//! becomes a verdict. What a plugin says (reasons, receipts, log lines) is cut to a limit, brought to
//! one line and cleared of the target's secrets before anybody sees it; of a target's lines in the log at
//! most [`LOG_LINES_MAX`] are written in [`LOG_PERIOD`].
//!
//! Only this module knows the binary interface of the crate `dispatcher-plugin-api`.

mod cache;
mod catalog;
mod clean;
mod inspect;
mod instance;
mod lend;
mod library;
mod services;
#[cfg(test)]
mod tests;
mod trust;

use std::path::PathBuf;

pub use catalog::{Catalog, LoadError, PluginFile};
pub use instance::{Instance, Invalid};
pub use library::{Manifest, Mode, Plugin};
pub use services::{BLOCKING_JOBS_MAX, LOG_LINES_MAX, LOG_PERIOD, Services};

/// Longest line about one file, in bytes.
pub const PROBLEM_BYTES_MAX: usize = 1024;
/// Largest plugin file.
pub const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Where plugins are and where their private copies go.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Searched in this order, not below. One that does not exist is passed over.
    pub directories: Vec<PathBuf>,
    /// For the private copies; made with mode 0700. Code must be allowed to run from it.
    pub cache: PathBuf,
    /// Also refuse what only the own group, or others within a sticky folder, could have put there.
    pub strict: bool,
}
