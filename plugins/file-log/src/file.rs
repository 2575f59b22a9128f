//! Appends complete lines to a file, and rotates the file when it is full or a new day has begun.
//!
//! Invariants:
//! - Two lines are never joined: all lines of a call are written in one append, a part that a full disk
//!   accepted is removed again, and a file that ends within a line gets a line end first.
//! - Rotation only renames files, the oldest first, while it holds the file's lock: a crash or a second
//!   writer at any moment loses no line.
//! - The path is checked before each append: after another program has renamed or deleted the file, a new one
//!   is started. Nothing is opened before the first append.
//!
//! Limits: on a network file system an append is not atomic between machines. Without `sync` a line
//! is safe from a crash of the daemon, but not from one of the machine.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;

/// Before the umask.
const FILE_MODE: u32 = 0o640;
const FOLDER_MODE: u32 = 0o750;
/// Most times in one call that the file may disappear after it was opened.
const OPENINGS_MAX: u32 = 8;
const DAY_SECONDS: u64 = 24 * 60 * 60;

/// When a file is rotated, and how many are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rotation {
    /// A file does not become longer than this, unless a single call is longer.
    pub(crate) bytes_max: Option<u64>,
    /// The first append of a day (UTC) starts a new file.
    pub(crate) daily: bool,
    /// How many older files are kept, at least 1.
    pub(crate) keep: u32,
}

/// Why lines were not written: one line for people that names the path.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("cannot {doing} {path:?}: {cause}{}", advice(.cause))]
    Failed { doing: &'static str, path: PathBuf, cause: io::Error },
    #[error("{0:?} is not a regular file: settings.path must be a regular file or not exist")]
    NoFile(PathBuf),
    #[error("{0:?} is being written by another process or target: give each its own file")]
    Busy(PathBuf),
    #[error("{0:?} disappears as soon as it is opened: find out what moves or deletes it")]
    Vanishing(PathBuf),
}

fn advice(cause: &io::Error) -> &'static str {
    match cause.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::WriteZero => {
            "; free space on that disk"
        }
        ErrorKind::PermissionDenied => "; give the daemon's user permission to write there",
        ErrorKind::ReadOnlyFilesystem => "; choose a path on a writable disk",
        ErrorKind::NotADirectory => "; a part of the path is a file where a folder must be",
        _ => "",
    }
}

/// A file to which lines are appended.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    rotation: Rotation,
    sync: bool,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// The day, counted from 1970, to which the file's lines belong.
    day: u64,
}

impl Log {
    /// A log that is not open yet.
    pub(crate) const fn new(path: PathBuf, rotation: Rotation, sync: bool) -> Self {
        Self { path, rotation, sync, open: None }
    }

    /// Appends `lines`, which end with a line feed, in one write; with `sync` they are on disk afterwards.
    pub(crate) fn append(&mut self, lines: &[u8], now: SystemTime) -> Result<(), Problem> {
        if lines.is_empty() {
            return Ok(());
        }
        // Taken out, so that after any error the next call opens the path again.
        let mut open = self.open.take();
        for _ in 0..OPENINGS_MAX {
            let current = match open.take() {
                Some(open) => open,
                None => self.open_file(now)?,
            };
            // Dropping `current` closes the file, which releases the lock.
            self.lock(&current.file)?;
            let Some(metadata) = self.metadata_if_in_place(&current.file)? else { continue };
            if self.is_over(&current, metadata.len(), lines.len(), now) {
                self.rotate()?;
                continue;
            }
            self.write(&current.file, metadata.len(), lines)
                .map_err(|cause| self.failed("append to", cause))?;
            // Fails only on file systems without locks.
            let _ = current.file.unlock();
            self.open = Some(current);
            return Ok(());
        }
        Err(Problem::Vanishing(self.path.clone()))
    }

    /// Whether an append could open the file. Creates and writes nothing: where the file is missing,
    /// checks that it could be created in the nearest folder that exists.
    pub(crate) fn probe(&self) -> Result<(), Problem> {
        if self.is_there()? {
            let file = OpenOptions::new().read(true).append(true).open(&self.path);
            return file.map(drop).map_err(|cause| self.failed("open", cause));
        }
        let folders = folder_of(&self.path).into_iter().flat_map(Path::ancestors);
        let mut folders = folders.filter(|folder| !folder.as_os_str().is_empty());
        let exists = |folder: &&Path| !matches!(fs::metadata(folder), Err(cause) if cause.kind() == ErrorKind::NotFound);
        let folder = folders.find(exists).unwrap_or(Path::new("."));
        let writable = Access::WRITE_OK | Access::EXEC_OK;
        let failed = |cause: Errno| Problem::Failed {
            doing: "create a file below",
            path: folder.to_owned(),
            cause: cause.into(),
        };
        // With a slash at its end the path of a file is an error.
        let flags = AtFlags::EACCESS;
        accessat(CWD, folder.join("."), writable, flags).map_err(failed)
    }

    /// Whether the path is taken by a regular file, not a folder, link, pipe or device.
    fn is_there(&self) -> Result<bool, Problem> {
        // Looked at first, because opening a pipe waits and opening a device may do something.
        match fs::symlink_metadata(&self.path) {
            Ok(metadata) if metadata.is_file() => Ok(true),
            Ok(_) => Err(Problem::NoFile(self.path.clone())),
            Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(false),
            Err(cause) => Err(self.failed("read", cause)),
        }
    }

    fn open_file(&self, now: SystemTime) -> Result<Open, Problem> {
        if !self.is_there()? {
            self.make_folder()?;
        }
        let mut options = OpenOptions::new();
        let options = options.read(true).append(true).create(true).mode(FILE_MODE);
        let open = || -> io::Result<Open> {
            let file = options.open(&self.path)?;
            let metadata = file.metadata()?;
            let new = metadata.len() == 0;
            if new && self.sync {
                sync_folder(&self.path)?;
            }
            Ok(Open { file, day: day(if new { now } else { metadata.modified()? }) })
        };
        open().map_err(|cause| self.failed("open", cause))
    }

    fn make_folder(&self) -> Result<(), Problem> {
        let Some(folder) = folder_of(&self.path) else { return Ok(()) };
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder).map_err(|cause| {
            Problem::Failed { doing: "create the folder", path: folder.to_owned(), cause }
        })
    }

    /// Keeps other targets and processes from writing at the same time.
    fn lock(&self, file: &File) -> Result<(), Problem> {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Err(Problem::Busy(self.path.clone())),
            // Some network file systems have no locks; there the append alone must be enough.
            Err(TryLockError::Error(_)) | Ok(()) => Ok(()),
        }
    }

    /// `None` if `file` is not the one at the path, or no longer.
    fn metadata_if_in_place(&self, file: &File) -> Result<Option<Metadata>, Problem> {
        let look = || -> io::Result<Option<Metadata>> {
            let named = match fs::symlink_metadata(&self.path) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                named => named?,
            };
            let same = |m: &Metadata| (m.dev(), m.ino()) == (named.dev(), named.ino());
            Ok(Some(file.metadata()?).filter(same))
        };
        look().map_err(|cause| self.failed("read", cause))
    }

    fn is_over(&self, open: &Open, length: u64, more: usize, now: SystemTime) -> bool {
        let too_long = |max: u64| length.saturating_add(more as u64) > max;
        let full = self.rotation.bytes_max.is_some_and(too_long);
        // When the clock is set back, the day does not end a second time.
        length > 0 && (full || (self.rotation.daily && day(now) > open.day))
    }

    /// Renames `log` to `log.1`, `log.1` to `log.2` and so on; deletes those beyond `keep`.
    fn rotate(&self) -> Result<(), Problem> {
        let step = || -> io::Result<()> {
            let keep = self.rotation.keep;
            let free = (1..keep).find(|n| !self.older(*n).exists()).unwrap_or(keep);
            for n in (1..free).rev() {
                fs::rename(self.older(n), self.older(n + 1))?;
            }
            fs::rename(&self.path, self.older(1))?;
            // More than one if `keep` was lowered.
            for n in keep + 1.. {
                match fs::remove_file(self.older(n)) {
                    Err(error) if error.kind() == ErrorKind::NotFound => break,
                    done => done?,
                }
            }
            if self.sync { sync_folder(&self.path) } else { Ok(()) }
        };
        step().map_err(|cause| self.failed("rotate", cause))
    }

    fn older(&self, n: u32) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{n}"));
        PathBuf::from(name)
    }

    fn write(&self, mut file: &File, length: u64, lines: &[u8]) -> io::Result<()> {
        let joined;
        let lines = if ends_within_a_line(file, length)? {
            joined = [b"\n", lines].concat();
            &joined
        } else {
            lines
        };
        let written = loop {
            match file.write(lines) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                written => break written?,
            }
        };
        if written < lines.len() {
            // Removes only bytes that this call has written. If that fails, the next append ends the line.
            if file.metadata()?.len() == length + written as u64 {
                file.set_len(length)?;
            }
            let of = lines.len();
            let reason =
                format!("the disk accepted only {written} of {of} bytes, which were removed again");
            return Err(io::Error::new(ErrorKind::WriteZero, reason));
        }
        if self.sync { file.sync_data() } else { Ok(()) }
    }

    fn failed(&self, doing: &'static str, cause: io::Error) -> Problem {
        Problem::Failed { doing, path: self.path.clone(), cause }
    }
}

fn ends_within_a_line(file: &File, length: u64) -> io::Result<bool> {
    let Some(last) = length.checked_sub(1) else { return Ok(false) };
    let mut byte = [0];
    // If nothing was read, another program has just truncated the file.
    Ok(file.read_at(&mut byte, last)? == 1 && byte != [b'\n'])
}

/// `None`: the working directory.
fn folder_of(path: &Path) -> Option<&Path> {
    path.parent().filter(|folder| !folder.as_os_str().is_empty())
}

/// Makes a new name in the file's folder survive a crash of the machine.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path).unwrap_or(Path::new(".")))?.sync_all()
}

/// Days since 1970, UTC; a clock before that reads as the first day.
fn day(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() / DAY_SECONDS
}

#[cfg(test)]
mod tests;
