//! Whether the lock, the newest segment and the index are still found under their names.
//!
//! A folder that is removed, moved or mounted over takes its open files with it: they can still be written, but
//! no restart finds what is in them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::embedded::platform::disk::{Disk, FileId};
use crate::embedded::platform::locks::lock;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Opened {
    Lock,
    Segment,
    /// A file of the index, which can be made again.
    Index,
}

#[derive(Default)]
pub(crate) struct OpenedFiles([Mutex<Option<(PathBuf, FileId)>>; 3]);

enum Missing {
    Gone(String),
    Hidden(String),
}

impl OpenedFiles {
    /// From here on that file must have that name. Without an id, it is not watched.
    pub(crate) fn opened(&self, what: Opened, path: &Path, id: Option<FileId>) {
        *lock(&self.0[what as usize]) = id.map(|id| (path.to_owned(), id));
    }

    /// Looks for lock and segment: one call of the system each. The first that is missing, and what to do.
    pub(crate) fn missing(&self, disk: &dyn Disk) -> Option<String> {
        [Opened::Lock, Opened::Segment].into_iter().find_map(|what| {
            Some(match self.look(what, disk)? {
                Missing::Gone(happened) => format!(
                    "{happened}: the data folder was removed, moved or mounted over; put it back, or restart \
                     the daemon to use what is there now"
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
            Missing::Hidden(_) => None,
        }
    }

    fn look(&self, what: Opened, disk: &dyn Disk) -> Option<Missing> {
        // Locked, so that a segment which ends meanwhile is not looked for.
        let file = lock(&self.0[what as usize]);
        let (path, id) = file.as_ref()?;
        let shown = path.display();
        match disk.id(path) {
            Ok(found) if found.is_none_or(|found| found == *id) => None,
            Ok(_) => Some(Missing::Gone(format!("{shown} is another file than the daemon opened"))),
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                Some(Missing::Gone(format!("{shown} is gone")))
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
        files.opened(Opened::Segment, &path.join("below"), file.id().unwrap());
        assert!(files.missing(&Files).unwrap().contains("lock/below is gone"));
    }
}
