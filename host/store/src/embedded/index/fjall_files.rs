//! What is looked at in the engine's folder before the engine: it would abort the process, or remove what it cannot find
//! without an error.

use std::fs::DirEntry;
use std::path::{Path, PathBuf};

/// The engine's folder of keyspaces, each in a folder named by its number.
pub(crate) const KEYSPACES: &str = "keyspaces";

/// Says which others there are.
const OWN_KEYSPACE: &str = "0";

/// In the folder of a keyspace: says which tables it has.
pub(crate) const VERSION_FILE: &str = "current";

/// A folder among the keyspaces that the engine did not make: it would abort the process.
pub(crate) fn foreign_in(keyspaces: &Path) -> Option<PathBuf> {
    let is_ours = |entry: &DirEntry| {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        is_file || entry.file_name().to_str().is_some_and(|name| name.parse::<u64>().is_ok())
    };
    let entries = std::fs::read_dir(keyspaces).ok()?;
    entries.flatten().find(|entry| !is_ours(entry)).map(|entry| entry.path())
}

/// Whether the engine's own keyspace has lost the file that names its tables: it would begin with an empty one, and remove
/// all others.
pub(crate) fn has_lost_names(keyspaces: &Path) -> bool {
    let own = keyspaces.join(OWN_KEYSPACE);
    let is_other = |entry: &DirEntry| entry.path() != own && entry.path().is_dir();
    let mut others = std::fs::read_dir(keyspaces).into_iter().flatten().flatten();
    !own.join(VERSION_FILE).exists() && others.any(|entry| is_other(&entry))
}
