//! One process at a time on a data folder. The kernel releases the lock when the process ends.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::embedded::error::{OpenError, at};
use crate::embedded::platform::disk::FileId;
use crate::embedded::platform::regular::open_with;
use crate::embedded::settings::folder_of;

/// Held as long as it lives.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    pub(crate) fn take(path: &Path) -> Result<Self, OpenError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = open_with(&mut options, path).map_err(at("create", path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self(file)),
            Err(Errno::WOULDBLOCK) => {
                Err(OpenError::Locked { directory: folder_of(path).to_path_buf() })
            }
            Err(error) => Err(at("lock", path)(error.into())),
        }
    }

    pub(crate) fn id(&self) -> Option<FileId> {
        self.0.metadata().ok().map(|file| FileId::of(&file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_until_the_first_lets_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = Lock::take(&path).unwrap();
        let refused = Lock::take(&path).unwrap_err();
        assert!(matches!(&refused, OpenError::Locked { directory } if directory == folder.path()));
        assert!(refused.to_string().contains(&folder.path().display().to_string()));
        drop(first);
        Lock::take(&path).unwrap();
    }
}
