//! Appends whole lines to a file and turns the file over when it is full or the day is.
//!
//! Invariants:
//! - A line is never joined to another: all lines of a call go out in one append, what a full disk
//!   left of them is taken back, and a file that ends within a line gets its end first.
//! - A file is turned over by renames alone, the oldest first, and under the lock of the file: a crash
//!   or a second writer at any moment loses no line.
//! - The path is looked at before each append, so a file that was renamed or deleted from outside is
//!   left alone and a new one begun. Nothing is open before the first append.
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

/// Less what the umask takes away.
const FILE_MODE: u32 = 0o640;
const FOLDER_MODE: u32 = 0o750;
/// Most times in one call that the file may be gone again once it was opened.
const OPENINGS_MAX: u32 = 8;
const DAY_SECONDS: u64 = 24 * 60 * 60;

/// When a file is turned over, and how many are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rotation {
    /// A file is not made longer than this, unless a single call brings more.
    pub(crate) bytes_max: Option<u64>,
    /// The first append of a day (UTC) begins a new file.
    pub(crate) daily: bool,
    /// How many older files stay, at least 1.
    pub(crate) keep: u32,
}

/// Why lines were not written: one line for people that names the path.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("cannot {doing} {path:?}: {cause}{}", advice(.cause))]
    Failed { doing: &'static str, path: PathBuf, cause: io::Error },
    #[error("{0:?} is no regular file: settings.path must name one, or a name not yet taken")]
    NoFile(PathBuf),
    #[error("{0:?} is being written by another process or target: give each a file of its own")]
    Busy(PathBuf),
    #[error("{0:?} disappears as soon as it is opened: find out what moves it away")]
    Vanishing(PathBuf),
}

fn advice(cause: &io::Error) -> &'static str {
    match cause.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::WriteZero => {
            "; make room on that disk"
        }
        ErrorKind::PermissionDenied => "; let the daemon's user write there",
        ErrorKind::ReadOnlyFilesystem => "; choose a path on a disk that can be written",
        ErrorKind::NotADirectory => "; a part of the path is a file where a folder must be",
        _ => "",
    }
}

/// A file that lines are appended to.
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
    /// The day, counted from 1970, that the file's lines belong to.
    day: u64,
}

impl Log {
    /// Opens nothing.
    pub(crate) const fn new(path: PathBuf, rotation: Rotation, sync: bool) -> Self {
        Self { path, rotation, sync, open: None }
    }

    /// Appends `lines`, which end with a line feed, in one write; with `sync` they are on disk then.
    pub(crate) fn append(&mut self, lines: &[u8], now: SystemTime) -> Result<(), Problem> {
        if lines.is_empty() {
            return Ok(());
        }
        // Taken out, so that after any error the next call begins with a fresh look at the path.
        let mut open = self.open.take();
        for _ in 0..OPENINGS_MAX {
            let current = match open.take() {
                Some(open) => open,
                None => self.open_file(now)?,
            };
            // Dropping `current` closes the file and thereby gives the lock back.
            self.lock(&current.file)?;
            let Some(metadata) = self.metadata_if_in_place(&current.file)? else { continue };
            if self.is_over(&current, metadata.len(), lines.len(), now) {
                self.turn_over()?;
                continue;
            }
            self.write(&current.file, metadata.len(), lines)
                .map_err(|cause| self.failed("append to", cause))?;
            // A file system without locks has none to give back either.
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
            Err(cause) => Err(self.failed("look at", cause)),
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
            Problem::Failed { doing: "make the folder", path: folder.to_owned(), cause }
        })
    }

    /// Keeps other instances and processes of ours from writing meanwhile.
    fn lock(&self, file: &File) -> Result<(), Problem> {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Err(Problem::Busy(self.path.clone())),
            // Some network file systems have no locks: there the append alone must do.
            Err(TryLockError::Error(_)) | Ok(()) => Ok(()),
        }
    }

    /// `None` when `file` is not, or no longer, the one at the path.
    fn metadata_if_in_place(&self, file: &File) -> Result<Option<Metadata>, Problem> {
        let look = || -> io::Result<Option<Metadata>> {
            let named = match fs::symlink_metadata(&self.path) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                named => named?,
            };
            let same = |m: &Metadata| (m.dev(), m.ino()) == (named.dev(), named.ino());
            Ok(Some(file.metadata()?).filter(same))
        };
        look().map_err(|cause| self.failed("look at", cause))
    }

    fn is_over(&self, open: &Open, length: u64, more: usize, now: SystemTime) -> bool {
        let too_long = |max: u64| length.saturating_add(more as u64) > max;
        let full = self.rotation.bytes_max.is_some_and(too_long);
        // A clock that was set back does not end the day a second time.
        length > 0 && (full || (self.rotation.daily && day(now) > open.day))
    }

    /// Moves `log` to `log.1`, `log.1` to `log.2` and so on; the one beyond `keep` goes.
    fn turn_over(&self) -> Result<(), Problem> {
        let step = || -> io::Result<()> {
            let keep = self.rotation.keep;
            let free = (1..keep).find(|n| !self.older(*n).exists()).unwrap_or(keep);
            for n in (1..free).rev() {
                fs::rename(self.older(n), self.older(n + 1))?;
            }
            fs::rename(&self.path, self.older(1))?;
            // There are more when `keep` was lowered.
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
            // Only what is surely ours is cut off. When that fails, the next append ends the line.
            if file.metadata()?.len() == length + written as u64 {
                file.set_len(length)?;
            }
            let of = lines.len();
            let reason = format!("the disk took {written} of {of} bytes, which were taken back");
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
    // Nothing to read: the file was made shorter from outside just now.
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
