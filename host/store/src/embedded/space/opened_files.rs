//! Whether the lock, the newest segment and the index are still found under their names, and the segment in its length.
//!
//! A folder that is removed, moved or mounted over takes its open files with it: they can still be written, but
//! no restart finds what is in them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rustix::io::Errno;

use crate::embedded::platform::disk::{Disk, DiskFile, FileId};
use crate::embedded::platform::locks::lock;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Opened {
    Lock,
    Segment,
    /// A file of the index, which can be made again.
    Index,
}

#[derive(Default)]
pub(crate) struct OpenedFiles([Mutex<Option<Watched>>; 3]);

struct Watched {
    path: PathBuf,
    id: FileId,
    /// A shorter file was cut.
    len_min: u64,
}

enum Missing {
    Gone(String),
    Cut(String),
    Hidden(String),
}

impl OpenedFiles {
    /// From here on that file must have that name. Without an id, it is not watched.
    pub(crate) fn opened(&self, what: Opened, path: &Path, id: Option<FileId>) {
        self.watch(what, path, id, 0);
    }

    /// From here on that segment must have that name, and at least that length.
    pub(crate) fn segment_opened(&self, path: &Path, file: &dyn DiskFile, len_min: u64) {
        self.watch(Opened::Segment, path, file.id().ok().flatten(), len_min);
    }

    fn watch(&self, what: Opened, path: &Path, id: Option<FileId>, len_min: u64) {
        *lock(&self.0[what as usize]) = id.map(|id| Watched { path: path.to_owned(), id, len_min });
    }

    /// Looks for lock and segment: a few calls of the system. The first that is missing, and what to do.
    pub(crate) fn missing(&self, disk: &dyn Disk) -> Option<String> {
        [Opened::Lock, Opened::Segment].into_iter().find_map(|what| {
            Some(match self.look(what, disk)? {
                Missing::Gone(happened) => format!(
                    "{happened}: the data folder was removed, moved or mounted over; put it back, or restart \
                     the daemon to use what is there now"
                ),
                Missing::Cut(happened) => format!(
                    "{happened}: what was in it may be lost; stop the daemon, and `dispatcher store check` says \
                     what to do"
                ),
                Missing::Hidden(why) => {
                    format!("{why}; give the daemon's user the right to use the data folder")
                }
            })
        })
    }

    /// What became of the index if it is not there any more.
    pub(crate) fn index_missing(&self, disk: &dyn Disk) -> Option<String> {
        match self.look(Opened::Index, disk)? {
            Missing::Gone(happened) => Some(happened),
            // Whether it is there is not known.
            Missing::Cut(_) | Missing::Hidden(_) => None,
        }
    }

    fn look(&self, what: Opened, disk: &dyn Disk) -> Option<Missing> {
        // Locked, so that a segment which ends meanwhile is not looked for.
        let file = lock(&self.0[what as usize]);
        let Watched { path, id, len_min } = file.as_ref()?;
        let shown = path.display();
        match disk.id(path) {
            Ok(found) if found.is_none_or(|found| found == *id) => {
                let len = disk.open(path).and_then(|file| file.len()).unwrap_or(*len_min);
                let cut = || format!("{shown} was cut from {len_min} to {len} bytes");
                (len < *len_min).then(|| Missing::Cut(cut()))
            }
            Ok(_) => Some(Missing::Gone(format!("{shown} is another file than the daemon opened"))),
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                Some(Missing::Gone(format!("{shown} is gone")))
            }
            Err(error) if Errno::from_io_error(&error) == Some(Errno::LOOP) => {
                let loops =
                    format!("{shown} cannot be reached: a link in its path leads to itself");
                Some(Missing::Gone(loops))
            }
            Err(error) => Some(Missing::Hidden(format!("cannot look at {shown}: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::platform::disk::Files;

    #[test]
    fn a_file_is_missing_while_its_name_leads_nowhere_or_to_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let (path, away) = (folder.path().join("lock"), folder.path().join("away"));
        let file = Files.create(&path).unwrap();
        let files = OpenedFiles::default();
        assert_eq!(files.missing(&Files), None);
        files.opened(Opened::Lock, &path, file.id().unwrap());
        assert_eq!(files.missing(&Files), None);
        std::fs::rename(&path, &away).unwrap();
        let missing = files.missing(&Files).unwrap();
        assert!(missing.starts_with(&format!("{} is gone: ", path.display())), "{missing}");
        std::fs::copy(&away, &path).unwrap();
        let missing = files.missing(&Files).unwrap();
        assert!(missing.contains("is another file than the daemon opened: "), "{missing}");
        std::fs::rename(&away, &path).unwrap();
        assert_eq!(files.missing(&Files), None);
        file.truncate(5).unwrap();
        files.segment_opened(&path, &*file, 5);
        assert_eq!(files.missing(&Files), None);
        file.truncate(4).unwrap();
        assert!(files.missing(&Files).unwrap().contains("lock was cut from 5 to 4 bytes: "));
        files.opened(Opened::Segment, &path.join("below"), file.id().unwrap());
        assert!(files.missing(&Files).unwrap().contains("lock/below is gone"));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("link", &link).unwrap();
        for what in [Opened::Lock, Opened::Segment] {
            files.opened(what, &link.join("below"), file.id().unwrap());
        }
        let missing = files.missing(&Files).unwrap();
        assert!(missing.contains("leads to itself: the data folder was removed"), "{missing}");
        files.opened(Opened::Index, &link.join("below"), file.id().unwrap());
        assert!(files.index_missing(&Files).unwrap().contains("leads to itself"));
    }
}
