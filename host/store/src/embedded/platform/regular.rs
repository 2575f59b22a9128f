//! Opens only regular files, and links to them: opening a FIFO waits for its other end, opening a device may act on it,
//! and a link to nothing would make a file elsewhere.

use std::fs::{File, FileType, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

/// Most levels of folders below the one that is searched.
const LEVELS_MAX: usize = 8;

/// What lies where a file should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Irregular(pub &'static str);

impl Irregular {
    const FOLDER: Self = Self("it is a folder, not a file");

    fn of(kind: FileType) -> Option<Self> {
        Some(Self(match kind {
            _ if kind.is_file() => return None,
            _ if kind.is_dir() => return Some(Self::FOLDER),
            _ if kind.is_fifo() => "it is a pipe (FIFO), not a file",
            _ if kind.is_socket() => "it is a socket, not a file",
            _ => "it is a device, not a file",
        }))
    }

    /// Whether that is why a file was not opened.
    pub(crate) fn why(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl From<Irregular> for io::Error {
    fn from(what: Irregular) -> Self {
        Self::new(io::ErrorKind::InvalidInput, what)
    }
}

/// What kind of thing has that name; `None` for nothing.
fn kind(path: &Path) -> io::Result<Option<FileType>> {
    let error = match std::fs::metadata(path) {
        Ok(metadata) => return Ok(Some(metadata.file_type())),
        Err(error) => error,
    };
    let is_missing = error.kind() == io::ErrorKind::NotFound;
    let is_link = std::fs::symlink_metadata(path).is_ok_and(|there| there.is_symlink());
    match is_link {
        true if is_missing => Err(Irregular("it is a link to nothing, not a file").into()),
        true if Errno::from_io_error(&error) == Some(Errno::LOOP) => {
            Err(Irregular("it is a link to itself, not a file").into())
        }
        false if is_missing => Ok(None),
        _ => Err(error),
    }
}

/// # Errors
/// Something that is not a file has that name.
pub(crate) fn file_or_nothing(path: &Path) -> io::Result<()> {
    let what = kind(path)?.and_then(Irregular::of);
    what.map_or(Ok(()), |what| Err(what.into()))
}

/// Removes what has that name, but not a folder.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    not_a_folder(path)?;
    std::fs::remove_file(path)
}

/// # Errors
/// There is nothing to remove, or a folder.
pub(crate) fn not_a_folder(path: &Path) -> io::Result<()> {
    let there = std::fs::symlink_metadata(path)?;
    if there.is_dir() { Err(Irregular::FOLDER.into()) } else { Ok(()) }
}

/// Opens the file for reading.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    open_with(OpenOptions::new().read(true), path)
}

/// # Errors
/// Those of the system, and [`Irregular`].
pub(crate) fn open_with(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    file_or_nothing(path)?;
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = options.custom_flags(flags).open(path)?;
    // It may have been replaced meanwhile.
    match Irregular::of(file.metadata()?.file_type()) {
        Some(what) => Err(what.into()),
        None => Ok(file),
    }
}

/// The first thing in a folder and its folders that is not a file, and what it is, or what lies in place of the
/// folder. `None` if that is missing.
pub(crate) fn irregular_in(folder: &Path) -> io::Result<Option<String>> {
    match kind(folder) {
        Ok(Some(kind)) if kind.is_dir() => search(folder, LEVELS_MAX),
        Ok(None) => Ok(None),
        Err(error) if Irregular::why(&error).is_none() => Err(error),
        Ok(Some(_)) | Err(_) => Ok(Some(format!("{} is not a folder", folder.display()))),
    }
}

fn search(folder: &Path, levels: usize) -> io::Result<Option<String>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        let kind = match kind(&path) {
            Ok(Some(kind)) => kind,
            // It was removed meanwhile.
            Ok(None) => continue,
            Err(error) => match Irregular::why(&error) {
                Some(what) => return Ok(Some(format!("{}: {what}", path.display()))),
                None => return Err(error),
            },
        };
        let found = if kind.is_dir() && entry.file_type()?.is_symlink() {
            // It may be any folder of the machine, so it is not searched.
            Some(format!("{}: it is a link to a folder, not a file or a folder", path.display()))
        } else if kind.is_dir() && levels > 0 {
            search(&path, levels - 1)?
        } else {
            Irregular::of(kind).map(|what| format!("{}: {what}", path.display()))
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn only_regular_files_and_links_to_them_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file"), "text").unwrap();
        mknodat(CWD, path("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let _socket = UnixListener::bind(path("socket")).unwrap();
        for (link, to) in [
            ("link", "file"),
            ("to-fifo", "fifo"),
            ("endless", "/dev/zero"),
            ("to-nothing", "nothing"),
            ("to-itself", "to-itself"),
        ] {
            symlink(to, path(link)).unwrap();
        }
        for (name, expected) in [
            ("file", None),
            ("link", None),
            ("fifo", Some("it is a pipe (FIFO), not a file")),
            ("to-fifo", Some("it is a pipe (FIFO), not a file")),
            ("socket", Some("it is a socket, not a file")),
            ("endless", Some("it is a device, not a file")),
            (".", Some("it is a folder, not a file")),
            ("to-nothing", Some("it is a link to nothing, not a file")),
            ("to-itself", Some("it is a link to itself, not a file")),
        ] {
            let opened = open(&path(name));
            let why = opened.as_ref().err().and_then(Irregular::why);
            assert_eq!(
                (opened.is_ok(), why),
                (expected.is_none(), expected.map(Irregular)),
                "{name}"
            );
        }
        assert_eq!(open(&path("missing")).unwrap_err().kind(), io::ErrorKind::NotFound);
        let created = open_with(OpenOptions::new().write(true).create(true), &path("to-nothing"));
        assert!(created.is_err() && !path("nothing").exists());
    }

    #[test]
    fn everything_but_a_folder_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("folder")).unwrap();
        std::fs::write(path("file"), "text").unwrap();
        mknodat(CWD, path("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        symlink("folder", path("link")).unwrap();
        let refused = remove(&path("folder")).unwrap_err();
        assert_eq!(Irregular::why(&refused), Some(Irregular::FOLDER));
        for name in ["file", "fifo", "link"] {
            remove(&path(name)).unwrap();
            assert_eq!(remove(&path(name)).unwrap_err().kind(), io::ErrorKind::NotFound);
        }
        assert!(path("folder").exists());
    }

    #[test]
    fn a_folder_is_searched_with_its_folders() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b");
        assert_eq!(irregular_in(&deep).unwrap(), None);
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(deep.join("file"), "text").unwrap();
        assert_eq!(irregular_in(folder.path()).unwrap(), None);
        symlink("/", folder.path().join("all")).unwrap();
        let found = irregular_in(folder.path()).unwrap().unwrap();
        assert!(
            found.ends_with("all: it is a link to a folder, not a file or a folder"),
            "{found}"
        );
        std::fs::remove_file(folder.path().join("all")).unwrap();
        mknodat(CWD, deep.join("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let found = irregular_in(folder.path()).unwrap().unwrap();
        assert!(found.ends_with("a/b/fifo: it is a pipe (FIFO), not a file"), "{found}");
        let found = irregular_in(&deep.join("fifo")).unwrap().unwrap();
        assert!(found.ends_with("a/b/fifo is not a folder"), "{found}");
    }
}
