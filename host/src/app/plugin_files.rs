//! Which plugin files exist and what is wrong with them, for people; loads them from a temporary folder.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::TrialError;
use crate::plugin::{Catalog, LoadError, Manifest, PluginFile, Settings};

/// A plugin file and what it says of itself once loaded.
#[derive(Clone, Debug)]
pub struct Listed {
    pub file: PluginFile,
    /// Or why it cannot be used.
    pub manifest: Result<Manifest, LoadError>,
}

/// Every plugin file in the order of the search. Changes nothing.
///
/// # Errors
/// The temporary folder cannot be made.
pub fn plugins(settings: &Settings) -> Result<Vec<Listed>, TrialError> {
    let cache = TemporaryCache::new()?;
    let catalog = Catalog::scan(&cache.settings(settings));
    Ok(catalog.files().iter().map(|file| listed(&catalog, file)).collect())
}

/// One file in any folder, as the daemon would see it. If the folder is searched, another file may have
/// precedence. Changes nothing.
///
/// # Errors
/// The temporary folder cannot be made.
pub fn plugin_file(path: &Path, settings: &Settings) -> Result<Listed, TrialError> {
    let cache = TemporaryCache::new()?;
    let settings = cache.settings(settings);
    let found =
        Catalog::scan(&settings).files().iter().find(|file| same(&file.path, path)).cloned();
    let alone = Catalog::of_file(path, &settings);
    let Some(file) = alone.files().first() else {
        return Err(TrialError::NotAPlugin(path.to_owned()));
    };
    let listed = listed(&alone, file);
    Ok(match found.and_then(|file| file.problem) {
        Some(problem) if listed.manifest.is_ok() => {
            let path = listed.file.path.clone();
            Listed { manifest: Err(LoadError::File { path, problem }), ..listed }
        }
        _ => listed,
    })
}

fn same(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

fn listed(catalog: &Catalog, file: &PluginFile) -> Listed {
    let manifest = match &file.problem {
        Some(problem) => Err(LoadError::File { path: file.path.clone(), problem: problem.clone() }),
        None => catalog.load(&file.name).map(|plugin| plugin.manifest().clone()),
    };
    Listed { file: file.clone(), manifest }
}

/// A folder for private copies; removed when dropped. Loaded code stays loaded when its file is gone.
pub(super) struct TemporaryCache(PathBuf);

impl TemporaryCache {
    pub(super) fn new() -> Result<Self, TrialError> {
        Self::within(&std::env::temp_dir()).map_err(TrialError::Folder)
    }

    /// The settings with this folder for the copies.
    pub(super) fn settings(&self, settings: &Settings) -> Settings {
        Settings { cache: self.0.clone(), ..settings.clone() }
    }

    fn within(parent: &Path) -> io::Result<Self> {
        let mut bytes = [0u8; 8];
        getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
        let path = parent.join(format!("dispatcher-check-{:016x}", u64::from_be_bytes(bytes)));
        // Fails if it exists: a folder of another user must not be used.
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for TemporaryCache {
    fn drop(&mut self) {
        // On failure the rest stays among the temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_beside_the_tests_is_found_with_its_mode() {
        let beside = std::env::current_exe().unwrap().parent().unwrap().to_owned();
        let cache = PathBuf::from("/nowhere");
        let settings = Settings { directories: vec![beside], cache, strict: false };
        let listed = plugins(&settings).unwrap();
        let file_log = listed.iter().find(|listed| listed.file.name == "file-log").unwrap();
        let manifest = file_log.manifest.as_ref().unwrap();
        assert_eq!(manifest.mode, crate::plugin::Mode::Batch);
    }

    #[test]
    fn the_temporary_folder_is_private_and_removed() {
        use std::os::unix::fs::PermissionsExt as _;
        let parent = tempfile::tempdir().unwrap();
        let cache = TemporaryCache::within(parent.path()).unwrap();
        let path = cache.0.clone();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        drop(cache);
        assert!(!path.exists());
    }
}
