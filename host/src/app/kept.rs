//! `silence.json` beside the store: how long each watched source was silent when the daemon last looked, so
//! that a restart begins no silence anew and tells of none twice.
//!
//! Nothing depends on it: without it, or with one that cannot be read, watching begins anew, which the log
//! says. Limit: [`FILE_BYTES_MAX`].

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::silence::Kept;

/// The file's name.
const FILE: &str = "silence.json";
/// Longest file: more than the most sources with the longest names take.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where it is kept.
#[derive(Clone, Debug)]
pub(super) struct Keeper {
    path: PathBuf,
}

impl Keeper {
    pub(super) fn new(folder: &Path) -> Self {
        Self { path: folder.join(FILE) }
    }

    /// What the last run left.
    pub(super) fn read(&self) -> Vec<Kept> {
        match self.try_read() {
            Ok(kept) => kept,
            Err(error) => {
                let path = self.path.display();
                tracing::warn!("silences are counted anew: {path} cannot be read: {error}");
                Vec::new()
            }
        }
    }

    fn try_read(&self) -> io::Result<Vec<Kept>> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            file => file?,
        };
        let mut text = Vec::new();
        file.take(FILE_BYTES_MAX).read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// Replaces it as a whole; without a source there is none. Not synced: after a power cut the one before
    /// may be back.
    ///
    /// # Errors
    /// It could not be written; the one before is still there.
    pub(super) fn write(&self, kept: &[Kept]) -> io::Result<()> {
        if kept.is_empty() {
            return match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        let new = self.path.with_extension("new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(&new)?.write_all(&serde_json::to_vec(kept)?)?;
        fs::rename(&new, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_what_is_broken_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let keeper = Keeper::new(folder.path());
        assert_eq!(keeper.read(), Vec::new());
        let kept = vec![Kept { source: "a".into(), silent_ms: 7, last_ms: None, told: true }];
        keeper.write(&kept).unwrap();
        assert_eq!(keeper.read(), kept);
        keeper.write(&[]).unwrap();
        keeper.write(&[]).unwrap();
        assert!(!folder.path().join(FILE).exists());
        for broken in ["", "{", "[{}]", "[7]"] {
            fs::write(folder.path().join(FILE), broken).unwrap();
            assert_eq!(keeper.read(), Vec::new(), "{broken}");
        }
    }
}
