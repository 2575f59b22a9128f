//! Where plugins are searched for, and the limits of their files.

use std::path::PathBuf;

/// Longest line about one file, in bytes.
pub const PROBLEM_BYTES_MAX: usize = 1024;
/// Most files read in one directory.
pub const FILES_MAX: usize = 1024;
/// Largest plugin file.
pub const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Where plugins are searched for and where their private copies are stored.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Searched in this order, without their subfolders. A missing one is skipped.
    pub directories: Vec<PathBuf>,
    /// For the private copies; created with mode 0700. Its file system must allow code to run.
    pub cache: PathBuf,
    /// Also refuse files that the daemon's own group, or anyone in a sticky folder, could have
    /// changed.
    pub strict: bool,
}
