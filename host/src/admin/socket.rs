//! The file `admin.sock`: for its owner only, one daemon at a time.
//!
//! A socket that a dead daemon left behind is replaced; one that is in use is not.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixSocket};

/// Longest path of a socket, in bytes; a limit of the system.
const PATH_BYTES_MAX: usize = 107;
/// Connections that the kernel queues until they are accepted.
const BACKLOG: u32 = 64;

/// Why the admin socket cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error(
        "the path of the admin socket has {0} bytes, the limit is {PATH_BYTES_MAX}: {1}; set a \
         shorter `home`"
    )]
    TooLong(usize, PathBuf),
    #[error("another dispatcher uses {0}; give each its own `home`")]
    Taken(PathBuf),
    #[error("{0} is not a socket; move it away, the admin socket needs this path")]
    InTheWay(PathBuf),
    #[error("cannot create the admin socket {0}: {1}")]
    Io(PathBuf, #[source] io::Error),
}

/// Whether a socket can have this path.
///
/// # Errors
/// It is too long.
pub fn check_path(path: &Path) -> Result<(), AdminError> {
    match path.as_os_str().len() {
        ..=PATH_BYTES_MAX => Ok(()),
        length => Err(AdminError::TooLong(length, path.to_owned())),
    }
}

/// Must be called in the context of a runtime.
pub(super) fn bind(path: &Path) -> Result<UnixListener, AdminError> {
    check_path(path)?;
    let failed = |error| AdminError::Io(path.to_owned(), error);
    remove_stale(path)?;
    let socket = UnixSocket::new_stream().map_err(failed)?;
    socket.bind(path).map_err(failed)?;
    // No client can connect before it listens.
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
    socket.listen(BACKLOG).map_err(failed)
}

fn remove_stale(path: &Path) -> Result<(), AdminError> {
    let failed = |error| AdminError::Io(path.to_owned(), error);
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(AdminError::InTheWay(path.to_owned()));
        }
        Ok(_) => {}
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(AdminError::Taken(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_but_one_in_use_and_other_files_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        drop(bind(&path).unwrap());
        assert!(path.exists(), "it stays after its listener");
        let in_use = bind(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(matches!(bind(&path), Err(AdminError::Taken(_))));
        drop(in_use);
        let file = folder.path().join("file");
        std::fs::write(&file, "kept").unwrap();
        assert!(matches!(bind(&file), Err(AdminError::InTheWay(_))));
        let long = folder.path().join("x".repeat(100));
        let error = bind(&long).unwrap_err().to_string();
        assert!(error.contains("107") && error.contains("shorter `home`"), "{error}");
    }
}
