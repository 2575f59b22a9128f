//! Where the index of a seed lies: in memory, with its crashes, or a real one in a folder.

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

use crate::embedded::Settings;
use crate::embedded::index::fjall::FjallHome;
use crate::embedded::index::rows::IndexHome;

use crate::embedded::simulation::disk::SimDisk;
use crate::embedded::simulation::index::MemoryHome;

pub(super) enum Home {
    Memory(MemoryHome),
    Folder(TempDir),
}

impl Home {
    pub(super) fn new(disk: &SimDisk, settings: &Settings, fjall: bool) -> Self {
        if fjall {
            return Self::Folder(tempfile::tempdir().unwrap());
        }
        Self::Memory(MemoryHome::beside(disk, settings.log_folder()))
    }

    fn folder(dir: &TempDir) -> PathBuf {
        dir.path().join("index")
    }

    pub(super) fn machine(&self) -> Arc<dyn IndexHome> {
        match self {
            Self::Memory(home) => Arc::new(home.clone()),
            Self::Folder(dir) => Arc::new(FjallHome(Self::folder(dir))),
        }
    }

    pub(super) fn delete(&self) {
        self.machine().remove().unwrap();
    }

    /// What a real index loses is not simulated: all of it or nothing.
    pub(super) fn cut_power(&self, random: &mut fastrand::Rng) {
        match self {
            Self::Memory(home) => home.cut_power(random),
            Self::Folder(_) if random.bool() => self.delete(),
            Self::Folder(_) => {}
        }
    }

    pub(super) fn ran_ahead(&self) -> Option<String> {
        match self {
            Self::Memory(home) => home.ran_ahead(),
            Self::Folder(_) => None,
        }
    }
}
