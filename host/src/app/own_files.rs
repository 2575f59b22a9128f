//! The files of the daemon itself, which no target may write.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crate::admin;
use crate::config::{Config, ENV_FILE, MORE_FOLDER, Problem, TargetConfig, folder};

/// The paths of the daemon's files and folders, each with what it is.
pub(super) struct OwnFiles {
    /// With all that is in them.
    folders: Vec<(PathBuf, &'static str)>,
    files: Vec<(PathBuf, &'static str)>,
    /// Folders in which only plugin files matter.
    plugins: Vec<PathBuf>,
}

impl OwnFiles {
    pub(super) fn of(config: &Config) -> Self {
        let beside = folder(&config.file);
        let folders = [
            (config.store.directory.clone(), "the data folder"),
            (config.plugins.cache.clone(), "the private copies of plugins"),
            (beside.join(MORE_FOLDER), "the configuration"),
        ];
        let mut files = vec![
            (config.home.join(admin::SOCKET), "the admin socket"),
            (config.file.clone(), "the configuration"),
            (beside.join(ENV_FILE), "the configuration"),
        ];
        files.extend(std::env::current_exe().ok().map(|file| (file, "the program")));
        let canonical = |list: Vec<(PathBuf, &'static str)>| {
            list.into_iter().map(|(path, what)| (canonical(&path), what)).collect()
        };
        Self {
            folders: canonical(folders.into()),
            files: canonical(files),
            plugins: config.plugins.directories.iter().map(|path| self::canonical(path)).collect(),
        }
    }

    /// What the file is to the daemon.
    fn what(&self, path: &Path) -> Option<&'static str> {
        let path = canonical(path);
        let in_folder = self.folders.iter().find(|(folder, _)| path.starts_with(folder));
        let same = |file: &Path| file == path || is_same_file(file, &path);
        let of = in_folder.or_else(|| self.files.iter().find(|(file, _)| same(file)));
        let is_plugin = || {
            let folder = path.parent();
            let in_folder = self.plugins.iter().any(|plugins| folder == Some(plugins));
            in_folder && path.extension().is_some_and(|extension| extension == "so")
        };
        of.map(|(_, what)| *what).or_else(|| is_plugin().then_some("a plugin file"))
    }

    /// Settings of the target that name one of these files.
    pub(super) fn problems(
        &self,
        target: &TargetConfig,
        schema: &serde_json::Value,
        home: &Path,
    ) -> Vec<Problem> {
        let paths = target.paths(schema, home).into_iter();
        let own = paths.filter_map(|(key, path)| {
            let what = self.what(&path)?;
            let title = format!("target `{}` would write to {what}", target.name);
            let problem =
                target.at_setting(Problem::error(title), &key, &path.display().to_string());
            Some(problem.help("choose a file that dispatcher does not use itself"))
        });
        own.collect()
    }
}

/// Whether both names lead to one file, as hard links do.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let identity = |path| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    identity(one).is_some_and(|found| identity(other) == Some(found))
}

/// The same for all ways to write a path. Links are followed as far as the path exists.
pub(super) fn canonical(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    let existing = plain.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    match existing.and_then(|(above, real)| Some(real.join(plain.strip_prefix(above).ok()?))) {
        // Joining an empty path leaves a slash at the end; collecting the parts removes it.
        Some(real) => real.components().collect(),
        None => plain,
    }
}
