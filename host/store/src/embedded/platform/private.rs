//! Files that another library makes are for the daemon's user alone, like those of the store.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Most levels of folders below the one that is made private.
const LEVELS_MAX: usize = 8;

const OTHERS: u32 = 0o077;

/// Takes away the rights of others to what is in a folder. If that fails for a file, they still may not enter the folder
/// above.
pub(crate) fn make_private(folder: &Path) {
    if let Err(error) = walk(folder, LEVELS_MAX) {
        tracing::debug!(folder = %folder.display(), %error, "cannot make all files private");
    }
}

/// The same for what is new in a folder of folders: those that are private already were made so with all that is in them.
pub(crate) fn make_new_private(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() && metadata.permissions().mode() & OTHERS != 0 {
            make_private(&entry.path());
            let mode = metadata.permissions().mode() & !OTHERS;
            let _ = set_permissions(entry.path(), Permissions::from_mode(mode));
        }
    }
}

fn walk(folder: &Path, levels: usize) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)?.flatten() {
        let (path, Ok(metadata)) = (entry.path(), entry.metadata()) else { continue };
        let mode = metadata.permissions().mode();
        // The rights of a link are those of what it leads to.
        if mode & OTHERS != 0 && (metadata.is_file() || metadata.is_dir()) {
            let _ = set_permissions(&path, Permissions::from_mode(mode & !OTHERS));
        }
        if metadata.is_dir() && levels > 0 {
            let _ = walk(&path, levels - 1);
        }
    }
    Ok(())
}
