//! Which plugins there are, for people who look; loads them from a temporary folder.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::plugin::{Catalog, Manifest, PluginFile, Settings};

/// A plugin file and what it says of itself once loaded.
#[derive(Clone, Debug)]
pub struct Listed {
    pub file: PluginFile,
    /// Why it is not usable: one line.
    pub manifest: Result<Manifest, String>,
}

/// Every plugin file in the order of the search. Changes nothing.
///
/// # Errors
/// There is no temporary folder to load them from.
pub fn plugins(settings: &Settings) -> io::Result<Vec<Listed>> {
    let cache = TrialCache::new()?;
    let catalog = Catalog::scan(&Settings { cache: cache.path().to_owned(), ..settings.clone() });
    Ok(catalog.files().iter().map(|file| listed(&catalog, file)).collect())
}

/// One file, wherever it lies, as the daemon would see it. In a folder that is searched, another file may
/// go before it. Changes nothing.
///
/// # Errors
/// There is no temporary folder to load it from.
pub fn plugin_file(path: &Path, settings: &Settings) -> io::Result<Listed> {
    let cache = TrialCache::new()?;
    let settings = Settings { cache: cache.path().to_owned(), ..settings.clone() };
    let found =
        Catalog::scan(&settings).files().iter().find(|file| same(&file.path, path)).cloned();
    let alone = Catalog::of_file(path, &settings);
    let Some(file) = alone.files().first() else {
        return Err(io::Error::other("it cannot be looked at"));
    };
    let listed = listed(&alone, file);
    Ok(match found.and_then(|file| file.problem) {
        Some(problem) if listed.manifest.is_ok() => Listed { manifest: Err(problem), ..listed },
        _ => listed,
    })
}

fn same(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

fn listed(catalog: &Catalog, file: &PluginFile) -> Listed {
    let manifest = match &file.problem {
        Some(problem) => Err(problem.clone()),
        None => catalog
            .load(&file.name)
            .map(|plugin| plugin.manifest().clone())
            .map_err(|error| error.to_string()),
    };
    Listed { file: file.clone(), manifest }
}

/// A folder for private copies; removed when dropped. Loaded code stays, though its file is gone.
pub(super) struct TrialCache(PathBuf);

impl TrialCache {
    pub(super) fn new() -> io::Result<Self> {
        Self::within(&std::env::temp_dir())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    fn within(parent: &Path) -> io::Result<Self> {
        let mut bytes = [0u8; 8];
        getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
        let path = parent.join(format!("dispatcher-check-{:016x}", u64::from_be_bytes(bytes)));
        // Fails when it is there already: what another user made is not used.
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for TrialCache {
    fn drop(&mut self) {
        // What cannot be removed lies in the system's temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_beside_the_tests_is_found_with_its_mode() {
        let beside = std::env::current_exe().unwrap().parent().unwrap().to_owned();
        let cache = PathBuf::from("/nowhere");
        let settings = Settings { directories: vec![beside], cache, strict: false };
        let listed = plugins(&settings).unwrap();
        let file_log = listed.iter().find(|listed| listed.file.name == "file-log").unwrap();
        let manifest = file_log.manifest.as_ref().unwrap();
        assert_eq!(manifest.mode, crate::plugin::Mode::Batch);
    }

    #[test]
    fn the_temporary_folder_is_private_and_goes_away() {
        use std::os::unix::fs::PermissionsExt as _;
        let parent = tempfile::tempdir().unwrap();
        let cache = TrialCache::within(parent.path()).unwrap();
        let path = cache.path().to_owned();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        drop(cache);
        assert!(!path.exists());
    }
}
