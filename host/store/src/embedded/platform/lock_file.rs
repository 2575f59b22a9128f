//! One process at a time on a data folder. The kernel releases the lock when the process ends. The file also says that the
//! folder has a log: without it, a folder without segments would pass for a new one.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::embedded::error::{OpenError, at};
use crate::embedded::platform::disk::FileId;
use crate::embedded::platform::regular::{file_or_nothing, open_with};
use crate::embedded::settings::folder_of;

/// What the file says once the log has a segment.
const HAS_LOG: &[u8] = b"The log of this data folder has segments.\n";

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

    /// Whether the log has had a segment.
    pub(crate) fn says_that_there_is_a_log(&self) -> bool {
        self.0.metadata().is_ok_and(|file| file.len() > 0)
    }

    /// The same of a file that is not locked, with the errors of [`take`](Self::take).
    pub(crate) fn said_that_there_is_a_log(path: &Path) -> Result<bool, OpenError> {
        file_or_nothing(path).map_err(at("create", path))?;
        Ok(path.metadata().is_ok_and(|file| file.len() > 0))
    }

    /// Says that the log has a segment, whose name is durable.
    pub(crate) fn say_that_there_is_a_log(&self) -> io::Result<()> {
        if self.says_that_there_is_a_log() {
            return Ok(());
        }
        (&self.0).write_all(HAS_LOG)?;
        self.0.sync_all()
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
