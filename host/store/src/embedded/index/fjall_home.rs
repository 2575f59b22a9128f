//! The folder of the index, and what becomes of it when the index is damaged.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use super::fjall::FjallIndex;
use super::rows::{Index, IndexError, IndexHome};
use super::set_aside::{set_aside, set_aside_before};
use crate::embedded::platform::disk::{Disk, make_folders};

/// A file that the engine makes with the index and holds open.
const LOCK: &str = "lock";

/// The folder of the index.
pub(crate) struct FjallHome {
    /// Of its folder; the engine has its own way to its files.
    pub disk: Arc<dyn Disk>,
    pub folder: PathBuf,
    /// Where damaged ones are kept.
    pub aside: PathBuf,
}

impl FjallHome {
    /// What a person put in place of the folder, if anything.
    fn something_else(&self) -> Option<String> {
        let is_there = self.folder.symlink_metadata().is_ok();
        let is_other = is_there && !self.folder.is_dir();
        is_other.then(|| format!("{} is not a folder", self.folder.display()))
    }
}

impl IndexHome for FjallHome {
    fn open(&self) -> Result<Box<dyn Index>, IndexError> {
        if let Some(what) = self.something_else() {
            return Err(IndexError::Irregular(what));
        }
        // The engine would make the folder, but not sync its name.
        make_folders(&*self.disk, &self.folder).map_err(fjall::Error::Io)?;
        Ok(Box::new(FjallIndex::open(&self.folder)?))
    }

    fn watched(&self) -> Option<PathBuf> {
        Some(self.folder.join(LOCK))
    }

    fn remove(&self) -> std::io::Result<()> {
        if let Some(what) = self.something_else() {
            let what = format!("{what}: take it away");
            return Err(std::io::Error::new(ErrorKind::NotADirectory, what));
        }
        if self.folder.exists() { std::fs::remove_dir_all(&self.folder) } else { Ok(()) }
    }

    fn set_aside(&self) -> std::io::Result<Option<PathBuf>> {
        set_aside(&self.folder, &self.aside)
    }

    fn clear_evidence(&self) -> std::io::Result<()> {
        for path in set_aside_before(&self.aside)? {
            std::fs::remove_dir_all(&path)?;
            tracing::warn!(path = %path.display(), "removed a damaged index that was kept: its space is needed");
        }
        Ok(())
    }
}
