//! A folder of our own for as long as a command runs, with a daemon's configuration in it, for `demo`
//! and `selftest`.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::config;
use crate::verify::Scheme;

/// Where the secret stands. Not in dispatcher.env: the user's own environment would go before it.
const SECRET_FILE: &str = "secret";

/// The folder; removed when dropped.
pub(super) struct Scratch {
    path: PathBuf,
    kept: bool,
}

impl Scratch {
    /// Makes it in `parent`, or in the system's folder for temporary files.
    pub(super) fn new(parent: Option<&Path>, command: &str) -> io::Result<Self> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        let path = parent.join(format!("dispatcher-{command}-{}", std::process::id()));
        std::fs::create_dir(&path).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot make the folder {path:?}: {error}"))
        })?;
        // A relative path would start elsewhere for whoever reads it in a configuration.
        Ok(Self { path: path.canonicalize()?, kept: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves it where it is.
    pub(super) fn keep(&mut self) {
        self.kept = true;
    }

    /// Writes a configuration into the sub-folder `name`, with the secret that it names as
    /// `file:secret`; gives its path.
    pub(super) fn configure(&self, name: &str, config: &str, secret: &str) -> io::Result<PathBuf> {
        let folder = self.path.join(name);
        std::fs::create_dir(&folder)?;
        std::fs::write(folder.join("dispatcher.toml"), config)?;
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(folder.join(SECRET_FILE))?;
        file.write_all(secret.as_bytes())?;
        Ok(folder.join("dispatcher.toml"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.kept {
            // What cannot be removed lies where temporary files do.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// A secret that nobody else knows.
pub(super) fn generated_secret() -> io::Result<String> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The scheme that our own senders sign with.
pub(super) fn sqreen() -> io::Result<&'static Scheme> {
    config::vendors::scheme("sqreen")
        .map(|scheme| &**scheme)
        .ok_or_else(|| io::Error::other("there is no scheme `sqreen`"))
}
