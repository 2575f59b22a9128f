//! Private copies of plugin files, named by the hash of their content.
//!
//! The dynamic loader identifies a library by its path and never unloads it: a changed file under the same
//! path would still run the old code, and overwriting a mapped file crashes the process. A private copy
//! whose name depends on its content has neither problem.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::settings::FILE_BYTES_MAX;
use super::trust::Identity;
use super::{image, inspect};

const CHUNK_BYTES: usize = 64 * 1024;
/// A copy younger than this is not removed: another process may be about to load it.
const UNUSED_MIN: Duration = Duration::from_secs(3600);

/// A private copy, checked and ready to be loaded.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) path: PathBuf,
    pub(super) facts: inspect::Facts,
    /// Of its content.
    pub(super) hash: String,
}

/// Why a file cannot be copied.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    #[error(
        "cannot {doing} {} (private copies of plugins are loaded from there): {cause}",
        path.display()
    )]
    Cache { doing: &'static str, path: PathBuf, cause: io::Error },
    #[error(
        "the folder for private copies of plugins, {}, must belong to the daemon's user and must not be a link",
        .0.display()
    )]
    Folder(PathBuf),
    #[error("cannot read it: {0}")]
    Source(io::Error),
    #[error("the copy {} differs from what was written to it; check the disk", .0.display())]
    Changed(PathBuf),
    #[error("it is larger than {} MiB", FILE_BYTES_MAX / 1024 / 1024)]
    TooLarge,
    #[error(transparent)]
    Inspect(#[from] inspect::InspectError),
    #[error(transparent)]
    Damaged(#[from] image::Damage),
}

/// Copies the content of `source` into `folder`.
pub(super) fn copy(source: &mut File, folder: &Path) -> Result<Copy, CopyError> {
    prepare(folder)?;
    let temporary =
        folder.join(format!(".incoming-{}-{:016x}", std::process::id(), fastrand::u64(..)));
    let result = fill(source, &temporary).and_then(|(hash, facts)| {
        let path = folder.join(format!("{}-{hash}.so", facts.name));
        std::fs::rename(&temporary, &path)
            .map_err(|error| cannot("rename a file to", &path, error))?;
        Ok(Copy { path, facts, hash })
    });
    let copy = result.inspect_err(|_| {
        // If this fails, `remove_old` does it later.
        let _ = std::fs::remove_file(&temporary);
    })?;
    // A disk error in between must not change what is loaded.
    if hash_of(&copy.path).map_err(|error| cannot("read", &copy.path, error))? != copy.hash {
        return Err(CopyError::Changed(copy.path));
    }
    remove_old(folder, &copy);
    Ok(copy)
}

fn prepare(folder: &Path) -> Result<(), CopyError> {
    let mut builder = DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(folder);
    made.map_err(|error| cannot("create the folder", folder, error))?;
    let metadata = folder.symlink_metadata().map_err(|error| cannot("read", folder, error))?;
    if !metadata.is_dir() || metadata.uid() != Identity::own().user {
        return Err(CopyError::Folder(folder.to_owned()));
    }
    if metadata.mode() & 0o077 != 0 {
        std::fs::set_permissions(folder, Permissions::from_mode(0o700))
            .map_err(|error| cannot("restrict the permissions of", folder, error))?;
    }
    Ok(())
}

/// Writes the copy, then checks the copy: unlike the source, it cannot be changed by others.
fn fill(source: &mut File, path: &Path) -> Result<(String, inspect::Facts), CopyError> {
    let write = |error: io::Error| cannot("write", path, error);
    let mut copy = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(write)?;
    let (mut hash, mut length, mut chunk) = (Sha256::new(), 0, vec![0; CHUNK_BYTES]);
    loop {
        let read = source.read(&mut chunk).map_err(CopyError::Source)?;
        let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        length += bytes.len() as u64;
        if length > FILE_BYTES_MAX {
            return Err(CopyError::TooLarge);
        }
        hash.update(bytes);
        copy.write_all(bytes).map_err(write)?;
    }
    copy.sync_all().map_err(write)?;
    let data = object::ReadCache::new(&mut copy);
    let facts = inspect::inspect(&data, length)?;
    image::check(&data, length)?;
    Ok((hex(&hash.finalize()), facts))
}

/// Hash of a file that is not a symbolic link.
pub(super) fn hash_of(path: &Path) -> io::Result<String> {
    let mut file = open(path)?;
    let (mut hash, mut chunk) = (Sha256::new(), vec![0; CHUNK_BYTES]);
    loop {
        let read = file.read(&mut chunk)?;
        match chunk.get(..read) {
            Some(bytes) if read > 0 => hash.update(bytes),
            _ => return Ok(hex(&hash.finalize())),
        }
    }
}

/// Opens a file for reading. Follows no symbolic link and does not wait for the other end of a pipe.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Removes older copies of the same plugin and what interrupted copying left. A copy that some process has
/// loaded stays mapped without its name.
fn remove_old(folder: &Path, keep: &Copy) {
    let Ok(entries) = folder.read_dir() else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_ours = name.starts_with(".incoming-")
            || name
                .strip_prefix(&keep.facts.name)
                .and_then(|rest| rest.strip_prefix('-')?.strip_suffix(".so"))
                .is_some_and(|hash| hash.len() == 64 && !hash.contains('-'));
        let age = entry.metadata().and_then(|metadata| metadata.modified());
        let age = age.ok().and_then(|time| SystemTime::now().duration_since(time).ok());
        if is_ours && entry.path() != keep.path && age.is_some_and(|age| age > UNUSED_MIN) {
            // Tried again at the next load.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn cannot(doing: &'static str, path: &Path, cause: io::Error) -> CopyError {
    CopyError::Cache { doing, path: path.to_owned(), cause }
}
