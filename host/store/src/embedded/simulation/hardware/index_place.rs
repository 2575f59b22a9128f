//! Where the index of a seed is: in memory, with its crashes, or a real one in a folder.

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

use crate::embedded::Settings;
use crate::embedded::index::fjall_home::FjallHome;
use crate::embedded::index::rows::IndexHome;
use crate::embedded::platform::disk::Files;

use super::disk::SimDisk;
use super::memory_index::MemoryHome;

pub(crate) enum IndexPlace {
    Memory(MemoryHome),
    Folder(TempDir),
}

impl IndexPlace {
    pub(crate) fn new(disk: &SimDisk, settings: &Settings, fjall: bool) -> Self {
        if fjall {
            return Self::Folder(tempfile::tempdir().unwrap());
        }
        Self::Memory(MemoryHome::beside(disk, settings.log_folder()))
    }

    fn folder(dir: &TempDir) -> PathBuf {
        dir.path().join("index")
    }

    pub(crate) fn home(&self) -> Arc<dyn IndexHome> {
        match self {
            Self::Memory(home) => Arc::new(home.clone()),
            Self::Folder(dir) => {
                let aside = dir.path().join("damaged");
                Arc::new(FjallHome { disk: Arc::new(Files), folder: Self::folder(dir), aside })
            }
        }
    }

    pub(crate) fn delete(&self) {
        self.home().remove().unwrap();
    }

    /// A real index loses everything or nothing: its parts are not simulated.
    pub(crate) fn cut_power(&self, random: &mut fastrand::Rng) {
        match self {
            Self::Memory(home) => home.cut_power(random),
            Self::Folder(_) if random.bool() => self.delete(),
            Self::Folder(_) => {}
        }
    }

    pub(crate) fn ran_ahead(&self) -> Option<String> {
        match self {
            Self::Memory(home) => home.ran_ahead(),
            Self::Folder(_) => None,
        }
    }
}
