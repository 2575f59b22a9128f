//! Who else could change what a configuration is read from: its files, the folders that hold them, and links on the way.
//!
//! It decides what the daemon accepts and runs, so whom to trust is decided as for plugins
//! (`plugin::only_trusted_may_change`). What only a certain user or group could change is a warning all the same: a
//! configuration mounted into a container often has an owner that the daemon does not know.

use std::collections::HashSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::StatVfsMountFlags;

use super::environment::ENV_FILE;
use super::files::{MORE_FOLDER, configuration_files};
use super::problem::Problem;
use crate::plugin::{self, Identity, Unsafe};

/// An error for everything that every user could change, and a warning for what certain other users could. What is not
/// there is left out. Nothing is read from any of it.
pub(super) fn problems(file: &Path) -> Vec<Problem> {
    problems_for(file, Identity::own())
}

fn problems_for(file: &Path, own: Identity) -> Vec<Problem> {
    let (folder, mut problems, mut seen) = (folder_of(file), Vec::new(), HashSet::new());
    let more = configuration_files(file).into_iter().skip(1);
    let beside = [file.to_owned(), folder.join(ENV_FILE), folder.join(MORE_FOLDER)];
    for path in beside.into_iter().chain(more) {
        for part in parts(&path) {
            if seen.insert(part.clone())
                && let Some((metadata, reason)) = distrust(&part, own)
            {
                problems.push(problem(&part, &metadata, reason, own));
            }
        }
    }
    problems
}

/// What decides what is read at a path: the folder that holds it, the path itself, which may be a link, and where it
/// leads, with the folder there.
fn parts(path: &Path) -> Vec<PathBuf> {
    let holder = folder_of(path).canonicalize().ok();
    let named = holder.as_deref().and_then(|holder| Some(holder.join(path.file_name()?)));
    // What is neither is refused for what it is.
    let real = path.canonicalize().ok().filter(|real| real.is_file() || real.is_dir());
    let real_holder = real.as_deref().and_then(Path::parent).map(Path::to_owned);
    [holder, named, real_holder, real].into_iter().flatten().collect()
}

fn folder_of(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.parent().unwrap_or(&path).to_owned()
}

fn distrust(path: &Path, own: Identity) -> Option<(Metadata, Unsafe)> {
    let metadata = std::fs::symlink_metadata(path).ok()?;
    let kind = metadata.file_type();
    if !kind.is_file() && !kind.is_dir() && !kind.is_symlink() {
        return None;
    }
    let reason = plugin::only_trusted_may_change(&metadata, own).err()?;
    let is_harmless = kind.is_dir() && !matches!(reason, Unsafe::Owner(_)) && is_read_only(path);
    (!is_harmless).then_some((metadata, reason))
}

/// Whether nothing can be written there, whatever its mode says: a ConfigMap of Kubernetes is a folder with mode 777.
fn is_read_only(folder: &Path) -> bool {
    rustix::fs::statvfs(folder).is_ok_and(|mount| mount.f_flag.contains(StatVfsMountFlags::RDONLY))
}

fn problem(path: &Path, metadata: &Metadata, reason: Unsafe, own: Identity) -> Problem {
    let shown = path.display();
    let what = match metadata.file_type() {
        kind if kind.is_dir() => "the folder ",
        kind if kind.is_symlink() => "the link ",
        _ => "",
    };
    let command = match reason {
        // Of a link, and not of what it leads to.
        Unsafe::Owner(_) => format!("chown -h {}", own.user()),
        Unsafe::Others => "chmod o-w".to_owned(),
        Unsafe::Group(_) => "chmod g-w".to_owned(),
    };
    // Someone let in the owner of a file and its group, unless every user can put files there.
    let anyone = match reason {
        Unsafe::Others => true,
        Unsafe::Owner(_) => {
            std::fs::metadata(folder_of(path)).is_ok_and(|folder| everyone_writes(&folder))
        }
        Unsafe::Group(_) => false,
    };
    if anyone {
        Problem::error(format!("cannot read {what}{shown}: {reason}"))
            .help(format!("look whether another user did change it; if not: {command} {shown}"))
    } else {
        Problem::warning(format!("others could change {what}{shown}: {reason}"))
            .help(format!("if that is not what you want: {command} {shown}"))
    }
}

fn everyone_writes(folder: &Metadata) -> bool {
    folder.mode() & 0o002 != 0
}

/// The folder of a secret in which every user could put another file in its place.
pub(super) fn open_folder(secret: &Path) -> Option<PathBuf> {
    let is_open = |folder: &PathBuf| {
        let metadata = std::fs::metadata(folder);
        metadata.is_ok_and(|metadata| plugin::not_everyone_may_change(&metadata).is_err())
            && !is_read_only(folder)
    };
    let real = secret.canonicalize().ok();
    [Some(folder_of(secret)), real.as_deref().map(folder_of)].into_iter().flatten().find(is_open)
}

#[cfg(test)]
mod tests;
