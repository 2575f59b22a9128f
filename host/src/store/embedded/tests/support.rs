//! A store in a temporary folder, and ways to look at it and to damage it.

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

use crate::store::Queue;
use crate::store::contract::Opener;
use crate::store::embedded::{Embedded, Settings};

pub(super) struct Folder {
    pub dir: TempDir,
    pub segment_bytes: u64,
}

impl Folder {
    pub(super) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), segment_bytes: 1 << 20 }
    }

    pub(super) fn settings(&self) -> Settings {
        let mut settings = Settings::new(self.dir.path().join("data"));
        settings.segment_bytes = self.segment_bytes;
        settings
    }

    pub(super) fn store(&self) -> Arc<Embedded> {
        Embedded::open(&self.settings()).unwrap()
    }

    /// Files of the log, oldest first.
    pub(super) fn segments(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(self.settings().log_folder())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "log"))
            .collect();
        files.sort();
        files
    }

    pub(super) fn delete_index(&self) {
        std::fs::remove_dir_all(self.settings().index_folder()).unwrap();
    }
}

impl Opener for Folder {
    fn open(&self) -> Arc<dyn Queue> {
        self.store()
    }
}
