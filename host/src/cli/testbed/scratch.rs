//! A folder that exists for as long as a command runs.

use std::io;
use std::path::{Path, PathBuf};

/// The folder; removed when dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    kept: bool,
}

impl Scratch {
    /// Makes it in `parent`, or in the system's folder for temporary files.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(parent: Option<&Path>, command: &str) -> io::Result<Self> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        let path = parent.join(format!("dispatcher-{command}-{}", std::process::id()));
        std::fs::create_dir(&path).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot make the folder {path:?}: {error}"))
        })?;
        // In a configuration, a relative path starts at the home.
        Ok(Self { path: path.canonicalize()?, kept: false })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the folder where it is.
    pub(in crate::cli) fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.kept {
            // On failure the rest stays among the temporary files.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
