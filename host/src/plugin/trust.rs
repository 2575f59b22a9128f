//! Who could have changed a file: owner and mode of the file and its folder.
//!
//! A plugin runs with all rights of the daemon, and a configuration decides what it does with them, so only root and
//! the daemon's own user may be able to change either. Members of the daemon's own group are trusted too (a umask of 002 makes every build
//! group-writable), and a sticky folder may be writable by others. `strict` allows neither.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const STICKY: u32 = 0o1000;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;

/// A file or folder that is not safe to load code from; says what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum TrustError {
    #[error("it is not a regular file; put the file itself there")]
    NotRegular,
    #[error("{0}")]
    File(Unsafe),
    #[error("its folder {} is not safe: {reason}", folder.display())]
    Folder { folder: PathBuf, reason: Unsafe },
    #[error("cannot read the folder {}: {cause}", folder.display())]
    Unreadable { folder: PathBuf, cause: io::Error },
}

/// Who could change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsafe {
    #[error(
        "it belongs to user {0}, who could change it; make root or the daemon's user its owner (chown)"
    )]
    Owner(u32),
    #[error("any user may change it; remove that permission (chmod o-w)")]
    Others,
    #[error("group {0} may change it; remove that permission (chmod g-w)")]
    Group(u32),
}

/// The user and group that the daemon runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub(super) user: u32,
    pub(super) group: u32,
}

impl Identity {
    /// Those of this process.
    #[must_use]
    pub fn own() -> Self {
        Self {
            user: rustix::process::geteuid().as_raw(),
            group: rustix::process::getegid().as_raw(),
        }
    }

    /// Those of a file's owner.
    #[cfg(test)]
    pub fn owner_of(metadata: &Metadata) -> Self {
        Self { user: metadata.uid(), group: metadata.gid() }
    }

    #[cfg(test)]
    pub const fn is_root(self) -> bool {
        self.user == 0
    }

    #[must_use]
    pub const fn user(self) -> u32 {
        self.user
    }
}

/// The facts of an inode that decide.
#[derive(Clone, Copy, Debug)]
struct Inode {
    user: u32,
    group: u32,
    mode: u32,
    is_folder: bool,
}

impl From<&Metadata> for Inode {
    fn from(metadata: &Metadata) -> Self {
        Self {
            user: metadata.uid(),
            group: metadata.gid(),
            mode: metadata.mode(),
            is_folder: metadata.is_dir(),
        }
    }
}

/// Whether the file itself may be trusted.
pub(super) fn file(metadata: &Metadata, own: Identity, strict: bool) -> Result<(), TrustError> {
    if !metadata.is_file() {
        return Err(TrustError::NotRegular);
    }
    check(Inode::from(metadata), own, strict).map_err(TrustError::File)
}

/// Whether its folder may be trusted; with `strict` the folders above as well.
pub(super) fn folder(path: &Path, own: Identity, strict: bool) -> Result<(), TrustError> {
    let unreadable =
        |folder: &Path, cause| TrustError::Unreadable { folder: folder.to_owned(), cause };
    let path = path.canonicalize().map_err(|cause| unreadable(path, cause))?;
    let levels = if strict { usize::MAX } else { 1 };
    for folder in path.ancestors().take(levels) {
        let metadata = std::fs::metadata(folder).map_err(|cause| unreadable(folder, cause))?;
        check(Inode::from(&metadata), own, strict)
            .map_err(|reason| TrustError::Folder { folder: folder.to_owned(), reason })?;
    }
    Ok(())
}

/// Whether a file or folder of the configuration is safe, by the rules for plugins that are not strict. Everybody may
/// change a link by its mode, which says nothing: its owner decides.
///
/// # Errors
/// Who else could change it.
pub fn only_trusted_may_change(metadata: &Metadata, own: Identity) -> Result<(), Unsafe> {
    let mode = if metadata.is_symlink() { 0 } else { metadata.mode() };
    check(Inode { mode, ..Inode::from(metadata) }, own, false)
}

/// Whether not every user may change a file, or put others into a folder. Any user may own it.
///
/// # Errors
/// Every user may.
pub fn not_everyone_may_change(metadata: &Metadata) -> Result<(), Unsafe> {
    let inode = Inode::from(metadata);
    if inode.is_folder && inode.mode & STICKY != 0 {
        Ok(())
    } else {
        inode.not_everyone_may_change()
    }
}

impl Inode {
    fn not_everyone_may_change(self) -> Result<(), Unsafe> {
        if self.mode & OTHERS_WRITE != 0 { Err(Unsafe::Others) } else { Ok(()) }
    }
}

fn check(inode: Inode, own: Identity, strict: bool) -> Result<(), Unsafe> {
    if inode.user != 0 && inode.user != own.user {
        return Err(Unsafe::Owner(inode.user));
    }
    if inode.is_folder && inode.mode & STICKY != 0 && !strict {
        return Ok(());
    }
    inode.not_everyone_may_change()?;
    if inode.mode & GROUP_WRITES != 0 && (strict || inode.group != own.group) {
        return Err(Unsafe::Group(inode.group));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Identity = Identity { user: 1000, group: 100 };

    fn safe(user: u32, group: u32, mode: u32, strict: bool, is_folder: bool) -> bool {
        check(Inode { user, group, mode, is_folder }, OWN, strict).is_ok()
    }

    #[test]
    fn owner_and_mode_decide() {
        for (user, group, mode, is_folder, lenient, strict) in [
            (1000, 100, 0o644, false, true, true),
            (0, 0, 0o755, false, true, true),
            (1001, 100, 0o644, false, false, false),
            (1000, 100, 0o664, false, true, false),
            (1000, 101, 0o664, false, false, false),
            (0, 0, 0o664, false, false, false),
            (1000, 100, 0o666, false, false, false),
            // Sticky means nothing on a file.
            (1000, 100, 0o1666, false, false, false),
            (0, 0, 0o1777, true, true, false),
            (0, 0, 0o777, true, false, false),
            (1001, 0, 0o1777, true, false, false),
            (1000, 100, 0o775, true, true, false),
        ] {
            let case = format!("{user} {group} {mode:o} {is_folder}");
            assert_eq!(safe(user, group, mode, false, is_folder), lenient, "{case}");
            assert_eq!(safe(user, group, mode, true, is_folder), strict, "{case} strict");
        }
    }
}
