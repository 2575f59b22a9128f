//! Reads a file that a person put there: only a regular file or a link to one, bounded in bytes and time, and
//! not one that every user may change.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::fs::OFlags;

use crate::plugin;

/// Longest time to read one file: a network file system may hang.
const READ_TIME_MAX: Duration = Duration::from_secs(10);

/// Most reads at a time, those that hang included.
const READS_MAX: usize = 64;
static READS: AtomicUsize = AtomicUsize::new(0);

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("no such file")]
    Missing,
    /// Not the same as a file that was left out on purpose: what it was to lead to would be lost in silence.
    #[error("it is a link to something that does not exist; repair the link, or remove it")]
    Dangling,
    #[error("permission denied")]
    Denied,
    #[error("it is {0}; put a regular file there, or a link to one")]
    Irregular(&'static str),
    #[error(transparent)]
    Unsafe(#[from] plugin::Unsafe),
    #[error("larger than {0} bytes")]
    TooLarge(usize),
    #[error("not UTF-8")]
    NotText,
    #[error("no answer within {} s: the file system hangs", READ_TIME_MAX.as_secs())]
    TooSlow,
    #[error("{0}")]
    Io(io::Error),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::Missing,
            ErrorKind::PermissionDenied => Self::Denied,
            _ => Self::Io(error),
        }
    }
}

/// The text of a file of at most `bytes_max` bytes.
///
/// # Errors
/// See [`ReadError`].
pub(super) fn read(path: &Path, bytes_max: usize) -> Result<String, ReadError> {
    let (done, result) = mpsc::sync_channel(1);
    let path = path.to_owned();
    if READS.fetch_add(1, Ordering::Relaxed) >= READS_MAX {
        READS.fetch_sub(1, Ordering::Relaxed);
        return Err(ReadError::TooSlow);
    }
    // A thread whose read hangs is left behind; it holds one file.
    let read = move || {
        let text = read_here(&path, bytes_max);
        READS.fetch_sub(1, Ordering::Relaxed);
        // Fails when the time is over.
        let _ = done.send(text);
    };
    if let Err(error) = thread::Builder::new().name("read-file".to_owned()).spawn(read) {
        READS.fetch_sub(1, Ordering::Relaxed);
        return Err(error.into());
    }
    result.recv_timeout(READ_TIME_MAX).unwrap_or(Err(ReadError::TooSlow))
}

fn read_here(path: &PathBuf, bytes_max: usize) -> Result<String, ReadError> {
    // Opening a FIFO would wait for its writer, and opening some devices acts on them.
    let before = std::fs::metadata(path).map_err(|error| match error.into() {
        ReadError::Missing if is_link(path) => ReadError::Dangling,
        error => error,
    })?;
    let irregular = |kind: std::fs::FileType| match kind {
        _ if kind.is_file() => None,
        _ if kind.is_dir() => Some("a folder"),
        _ if kind.is_fifo() => Some("a pipe (FIFO)"),
        _ if kind.is_socket() => Some("a socket"),
        _ => Some("a device"),
    };
    if let Some(what) = irregular(before.file_type()) {
        return Err(ReadError::Irregular(what));
    }
    let file = open(path)?;
    // It may have been replaced meanwhile.
    let metadata = file.metadata()?;
    if let Some(what) = irregular(metadata.file_type()) {
        return Err(ReadError::Irregular(what));
    }
    plugin::not_everyone_may_change(&metadata)?;
    let mut bytes = Vec::new();
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > bytes_max {
        return Err(ReadError::TooLarge(bytes_max));
    }
    String::from_utf8(bytes).map_err(|_| ReadError::NotText)
}

/// Whether there is a link, wherever it leads.
pub(super) fn is_link(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
}

fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::os::unix::net::UnixListener;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn only_regular_files_and_links_to_them_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file"), "text").unwrap();
        std::fs::write(path("binary"), [0xff]).unwrap();
        std::fs::write(path("open"), "text").unwrap();
        std::fs::set_permissions(path("open"), std::fs::Permissions::from_mode(0o666)).unwrap();
        mknodat(CWD, path("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let _socket = UnixListener::bind(path("socket")).unwrap();
        for (link, to) in [
            ("link", "file"),
            ("to-fifo", "fifo"),
            ("endless", "/dev/zero"),
            ("dangling", "nowhere"),
        ] {
            symlink(to, path(link)).unwrap();
        }
        for (name, expected) in [
            ("file", Ok("text")),
            ("link", Ok("text")),
            ("fifo", Err("it is a pipe (FIFO); put a regular file there, or a link to one")),
            ("to-fifo", Err("it is a pipe (FIFO); put a regular file there, or a link to one")),
            ("socket", Err("it is a socket; put a regular file there, or a link to one")),
            ("endless", Err("it is a device; put a regular file there, or a link to one")),
            (".", Err("it is a folder; put a regular file there, or a link to one")),
            ("binary", Err("not UTF-8")),
            ("missing", Err("no such file")),
            (
                "dangling",
                Err("it is a link to something that does not exist; repair the link, or remove it"),
            ),
            ("open", Err("any user may change it; remove that permission (chmod o-w)")),
        ] {
            let result = read(&path(name), 4).map_err(|error| error.to_string());
            assert_eq!(result.as_deref().map_err(String::as_str), expected, "{name}");
        }
        assert_eq!(read(&path("file"), 3).unwrap_err().to_string(), "larger than 3 bytes");
    }
}
