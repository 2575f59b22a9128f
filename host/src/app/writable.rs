//! Whether a target can write its file, as far as the file system says without a write.

use std::fs::{self, FileType};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;

/// Why no file can be opened or made there before a person changes that: something else has the name, or is where a
/// folder must be.
pub(super) fn not_a_file(path: &Path) -> Option<String> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.is_file() => None,
        Ok(there) => Some(format!("this is {}", kind(there.file_type()))),
        Err(_) => not_a_folder(path),
    }
}

/// Why no folder can be opened or made there: names the part of the path that is something else.
pub(super) fn no_folder(path: &Path) -> Option<String> {
    not_a_folder(&path.join("a file"))
}

/// Names the part above the path where a folder must be and something else is.
fn not_a_folder(path: &Path) -> Option<String> {
    for folder in path.ancestors().skip(1) {
        let there = match fs::symlink_metadata(folder) {
            Ok(there) => there.file_type(),
            // What is wrong is above it.
            Err(error) if is_of_a_part(&error) => continue,
            Err(_) => return None,
        };
        let what = match fs::metadata(folder) {
            Ok(target) if target.is_dir() => return None,
            Ok(target) if there.is_symlink() => format!("a link to {}", kind(target.file_type())),
            Ok(_) => kind(there).to_owned(),
            Err(error) if is_of_a_part(&error) => "a link to nothing".to_owned(),
            Err(_) => return None,
        };
        return Some(format!("{} is {what}, not a folder", folder.display()));
    }
    None
}

/// Whether a part of the path is missing, is not a folder, or is a link in a circle.
fn is_of_a_part(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
        || error.raw_os_error() == Some(Errno::LOOP.raw_os_error())
}

fn kind(there: FileType) -> &'static str {
    match there {
        _ if there.is_symlink() => "a symbolic link",
        _ if there.is_dir() => "a folder",
        _ if there.is_fifo() => "a pipe (FIFO)",
        _ if there.is_socket() => "a socket",
        _ if there.is_file() => "a file",
        _ => "a device",
    }
}

/// Where a write to the path would fail now, and why: at the path itself, or at the nearest folder above it that exists.
pub(super) fn forbidden(path: &Path) -> Option<(PathBuf, &'static str)> {
    let place = path.ancestors().find(|place| place.symlink_metadata().is_ok())?;
    let access = if place.is_dir() { Access::WRITE_OK | Access::EXEC_OK } else { Access::WRITE_OK };
    let cause = match accessat(CWD, place, access, AtFlags::EACCESS) {
        Err(Errno::ACCESS | Errno::PERM) => "permission denied",
        Err(Errno::ROFS) => "the file system is read-only",
        _ => return None,
    };
    Some((place.to_owned(), cause))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::os::unix::net::UnixListener;

    use rustix::fs::{FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn what_is_no_regular_file_or_is_where_a_folder_must_be_is_named() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        fs::write(at("file"), "").unwrap();
        fs::create_dir(at("folder")).unwrap();
        mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        for (link, to) in [
            ("to-folder", "folder"),
            ("to-file", "file"),
            ("to-nothing", "gone/x"),
            ("circle", "circle"),
        ] {
            symlink(to, at(link)).unwrap();
        }
        let part = |name: &str, what: &str| {
            Some(format!("{} is {what}, not a folder", at(name).display()))
        };
        let this = |what: &str| Some(format!("this is {what}"));
        for (name, expected) in [
            ("file", None),
            ("new", None),
            ("a/b/new", None),
            ("to-folder/new", None),
            ("folder", this("a folder")),
            ("fifo", this("a pipe (FIFO)")),
            ("socket", this("a socket")),
            ("/dev/full", this("a device")),
            ("to-file", this("a symbolic link")),
            ("to-nothing", this("a symbolic link")),
            ("circle", this("a symbolic link")),
            ("file/x", part("file", "a file")),
            ("file/deeper/x", part("file", "a file")),
            ("fifo/x", part("fifo", "a pipe (FIFO)")),
            ("to-file/x", part("to-file", "a link to a file")),
            ("to-nothing/deeper/x", part("to-nothing", "a link to nothing")),
            ("circle/x", part("circle", "a link to nothing")),
        ] {
            assert_eq!(not_a_file(&at(name)), expected, "{name}");
        }
    }

    #[test]
    fn the_place_that_may_not_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("closed")).unwrap();
        fs::write(at("file"), "").unwrap();
        for (name, mode) in [("closed", 0o555), ("file", 0o444)] {
            fs::set_permissions(at(name), Permissions::from_mode(mode)).unwrap();
        }
        assert_eq!(forbidden(&at("a/b/new")), None);
        // Root may write everywhere.
        let refused = |name| {
            let is_root = rustix::process::geteuid().is_root();
            (!is_root).then(|| (at(name), "permission denied"))
        };
        assert_eq!(forbidden(&at("closed/a/b/new")), refused("closed"));
        assert_eq!(forbidden(&at("file")), refused("file"));
    }
}
