//! `silence.json` beside the store: when each source was last heard, and how long each watched one was silent at
//! the last check, so that a restart does not count from zero and raises no alarm twice.
//!
//! The daemon also works without it: if the file is missing or cannot be read, silences count from zero,
//! which is logged. Limit: [`FILE_BYTES_MAX`].

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::silent_sources::SavedSilence;
use crate::model::Timestamp;

/// The file's name.
const FILE: &str = "silence.json";
/// Longest file: more than all sources need.
const FILE_BYTES_MAX: u64 = 1 << 20;

#[derive(Clone, Debug)]
pub(super) struct SilenceFile {
    path: PathBuf,
}

impl SilenceFile {
    pub(super) fn new(folder: &Path) -> Self {
        Self { path: folder.join(FILE) }
    }

    /// What the last run of the daemon saved.
    pub(super) fn read(&self) -> Vec<SavedSilence> {
        match self.try_read() {
            Ok(saved) => saved,
            Err(error) => {
                let path = self.path.display();
                tracing::warn!("silences of sources count from zero: cannot read {path}: {error}");
                Vec::new()
            }
        }
    }

    /// When it was saved; `None` if it was not.
    pub(super) fn saved_at(&self) -> Option<Timestamp> {
        let changed = fs::metadata(&self.path).and_then(|metadata| metadata.modified());
        changed.ok().map(Timestamp::from)
    }

    fn try_read(&self) -> io::Result<Vec<SavedSilence>> {
        let irregular = || Err(io::Error::other("it is not a regular file"));
        match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
            Ok(metadata) if !metadata.is_file() => return irregular(),
            Ok(_) => {}
        }
        // Opening a pipe would wait for its other end, and it may be one by now.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&self.path)?;
        if !file.metadata()?.is_file() {
            return irregular();
        }
        let mut text = Vec::new();
        file.take(FILE_BYTES_MAX).read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// Replaces the whole file; removes it if there is no source. Not synced: after a power cut the file may
    /// be the one before.
    ///
    /// # Errors
    /// The file could not be written and is unchanged.
    pub(super) fn write(&self, saved: &[SavedSilence]) -> io::Result<()> {
        if saved.is_empty() {
            return match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        let new = self.path.with_extension("new");
        // What is there may be a pipe, whose opening would wait for a reader.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        options.open(&new)?.write_all(&serde_json::to_vec(saved)?)?;
        fs::rename(&new, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    /// Makes something at a path.
    type Make<'a> = &'a dyn Fn(&Path);

    #[test]
    fn nothing_waits_for_a_pipe_a_socket_a_device_or_a_folder_in_place_of_the_file() {
        let fifo = |path: &Path| {
            mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        };
        let socket = |path: &Path| drop(UnixListener::bind(path).unwrap());
        let device = |path: &Path| symlink("/dev/zero", path).unwrap();
        let folder_there = |path: &Path| fs::create_dir(path).unwrap();
        let kinds: [(Make<'_>, bool); 4] =
            [(&fifo, true), (&socket, true), (&device, true), (&folder_there, false)];
        let saved =
            [SavedSilence { source: "a".into(), silent_ms: None, last_ms: None, alarmed: false }];
        for (make, is_replaced) in kinds {
            for name in [FILE, "silence.new"] {
                let folder = tempfile::tempdir().unwrap();
                let file = SilenceFile::new(folder.path());
                make(&folder.path().join(name));
                if name == FILE {
                    let error = file.try_read().unwrap_err().to_string();
                    assert_eq!(error, "it is not a regular file");
                }
                assert_eq!(file.write(&saved).is_ok(), is_replaced, "{name}");
                assert_eq!(file.read().len(), usize::from(is_replaced), "{name}");
            }
        }
    }

    #[test]
    fn a_written_file_is_read_back_and_a_damaged_one_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let file = SilenceFile::new(folder.path());
        assert_eq!(file.read(), Vec::new());
        let saved = vec![SavedSilence {
            source: "a".into(),
            silent_ms: Some(7),
            last_ms: None,
            alarmed: true,
        }];
        file.write(&saved).unwrap();
        assert_eq!(file.read(), saved);
        file.write(&[]).unwrap();
        file.write(&[]).unwrap();
        assert!(!folder.path().join(FILE).exists());
        for damaged in ["", "{", "[{}]", "[7]"] {
            fs::write(folder.path().join(FILE), damaged).unwrap();
            assert_eq!(file.read(), Vec::new(), "{damaged}");
        }
    }
}
