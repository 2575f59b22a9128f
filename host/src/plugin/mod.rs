//! Plugins: finding their files, loading them, and calling their targets.
//!
//! A file is trusted step by step: first its name, owner and mode, then what its ELF sections say, all
//! without running any of its code ([`Catalog::scan`]). Then a private copy, named by its hash, is loaded,
//! because a file that changes while it is mapped kills the process. Its tables for the dynamic loader are checked
//! (`image`), and processes of its own load it first (`proof`). Last come the checks of the memory layout and of the
//! manifest. A problem with a file is one line of at most [`PROBLEM_BYTES_MAX`](settings::PROBLEM_BYTES_MAX) bytes and
//! affects that file alone.
//!
//! Loaded code is never unloaded. It is part of this process and can still crash it; a panic cannot, because it
//! becomes a verdict. All text from a plugin (reasons, receipts, log lines) is masked, escaped to one line and
//! cut to a limit before anyone sees it. Of a target's log lines at most [`LOG_LINES_MAX`](host_services::LOG_LINES_MAX) are written in each
//! [`LOG_PERIOD`](host_services::LOG_PERIOD).
//!
//! Only this module knows the binary interface of the crate `dispatcher-plugin-api`.
//!
//! The modules use each other from the top down:
//!
//! | module | responsibility |
//! |---|---|
//! | `catalog` | all plugin files found; loads one by name |
//! | `refused` | which unusable file has the plugin that is asked for |
//! | `directory` | the plugin files in one directory |
//! | `file_problem` | why a file is not used |
//! | `library` | a loaded plugin; creates its targets |
//! | `instance` | one target: calls it and reads its verdicts |
//! | `call_data` | deliveries in the form a plugin reads |
//! | `host_services` | what the host does for a plugin |
//! | `blocking` | the blocking jobs of one target |
//! | `manifest` | name, version, mode and settings schema |
//! | `proof` | tries a file in processes of its own before it is loaded |
//! | `try_file` | what such a process does |
//! | `cache` | private copies of plugin files |
//! | `inspect` | what a file says about itself, without running it |
//! | `image` | what the dynamic loader reads and writes of a file |
//! | `trust` | who could have changed a file |
//! | `sanitize` | masks secrets and makes text one bounded line |
//! | `settings` | where to search, and limits |

mod blocking;
mod cache;
mod call_data;
mod catalog;
mod directory;
mod file_problem;
mod host_services;
mod image;
mod inspect;
mod instance;
mod library;
mod manifest;
mod proof;
mod refused;
mod sanitize;
mod settings;
#[cfg(test)]
mod tests;
mod trust;
mod try_file;

pub use catalog::{Catalog, LoadError};
pub use directory::PluginFile;
pub use host_services::TargetContext;
pub use instance::Instance;
pub use library::{Invalid, Plugin};
pub use manifest::{Manifest, Mode};
pub use proof::{Damaged, try_files_with};
pub use settings::Settings;
pub use trust::{Unsafe, not_everyone_may_change};
pub use try_file::try_file;
