//! Private copies of plugin files, named by what is in them.
//!
//! The loader knows a library by its path and keeps it for ever: a changed file under an old path would
//! give the old code, and a file that is overwritten while mapped crashes the process. A copy that
//! nobody else touches, under a name that its content decides, has neither fault.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::trust::Identity;
use super::{FILE_BYTES_MAX, inspect};

const CHUNK_BYTES: usize = 64 * 1024;
/// A copy that another process may be about to load is left alone so long.
const UNUSED_MIN: Duration = Duration::from_secs(3600);

/// A private copy, checked and ready to be loaded.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) path: PathBuf,
    pub(super) facts: inspect::Facts,
    /// Of its content.
    pub(super) hash: String,
}

/// Copies what `source` holds into `folder`; the error says what is wrong and what to do.
pub(super) fn copy(source: &mut File, folder: &Path) -> Result<Copy, String> {
    prepare(folder)?;
    let temporary =
        folder.join(format!(".incoming-{}-{:016x}", std::process::id(), fastrand::u64(..)));
    let result = fill(source, &temporary).and_then(|(hash, facts)| {
        let path = folder.join(format!("{}-{hash}.so", facts.name));
        std::fs::rename(&temporary, &path).map_err(|error| cannot("name", &path, &error))?;
        Ok(Copy { path, facts, hash })
    });
    let copy = result.inspect_err(|_| {
        // A remainder is collected later.
        let _ = std::fs::remove_file(&temporary);
    })?;
    // What is loaded must be what was checked, whatever the disk did in between.
    if hash_of(&copy.path).map_err(|error| cannot("read", &copy.path, &error))? != copy.hash {
        return Err(format!("the copy {} is not what was written to it", copy.path.display()));
    }
    collect(folder, &copy);
    Ok(copy)
}

fn prepare(folder: &Path) -> Result<(), String> {
    let mut builder = DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(folder);
    made.map_err(|error| cannot("make the folder", folder, &error))?;
    let metadata = folder.symlink_metadata().map_err(|error| cannot("look at", folder, &error))?;
    if !metadata.is_dir() || metadata.uid() != Identity::own().user {
        return Err(format!(
            "the folder for copies of plugins, {}, must be a folder that belongs to the daemon's own user",
            folder.display()
        ));
    }
    if metadata.mode() & 0o077 != 0 {
        std::fs::set_permissions(folder, Permissions::from_mode(0o700))
            .map_err(|error| cannot("take away others' rights to", folder, &error))?;
    }
    Ok(())
}

/// Writes the copy and checks it: of the copy alone it is certain that nobody changes it.
fn fill(source: &mut File, path: &Path) -> Result<(String, inspect::Facts), String> {
    let write = |error: io::Error| cannot("write", path, &error);
    let mut copy = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(write)?;
    let (mut hash, mut length, mut chunk) = (Sha256::new(), 0, vec![0; CHUNK_BYTES]);
    loop {
        let read = source.read(&mut chunk).map_err(|error| format!("cannot read it: {error}"))?;
        let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        length += bytes.len() as u64;
        if length > FILE_BYTES_MAX {
            return Err(too_large());
        }
        hash.update(bytes);
        copy.write_all(bytes).map_err(write)?;
    }
    copy.sync_all().map_err(write)?;
    let facts = inspect::inspect(&object::ReadCache::new(&mut copy), length)
        .map_err(|refusal| refusal.to_string())?;
    Ok((hex(&hash.finalize()), facts))
}

pub(super) fn too_large() -> String {
    format!("it has more than {} MiB", FILE_BYTES_MAX / 1024 / 1024)
}

/// Hash of a file that is no symbolic link.
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

/// Opens a file for reading: never through a symbolic link, never waiting for a pipe's other end.
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

/// Removes older copies of the same plugin and remainders of broken copying. A copy that is loaded
/// somewhere stays mapped without its name.
fn collect(folder: &Path, keep: &Copy) {
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

fn cannot(what: &str, path: &Path, error: &io::Error) -> String {
    format!(
        "cannot {what} {} (private copies of plugins are loaded from there): {error}",
        path.display()
    )
}
