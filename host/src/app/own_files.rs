//! The files of the daemon itself, which no target may write.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crate::admin;
use crate::config::{Config, ENV_FILE, MORE_FOLDER, Problem, TargetConfig, folder};

/// Most links that are followed one after another: those of Linux.
const LINKS_MAX: usize = 40;
/// How deep the folders of the daemon are searched for a file.
const FOLDERS_DEEP_MAX: usize = 4;

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
        files.extend(config.secret_files.iter().map(|file| (file.clone(), "the file of a secret")));
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
        let of = of.map(|(_, what)| *what);
        of.or_else(|| is_plugin().then_some("a plugin file")).or_else(|| self.linked(&path))
    }

    /// What the file is if it is a hard link of one in these folders.
    fn linked(&self, path: &Path) -> Option<&'static str> {
        let file = fs::metadata(path).ok().filter(|file| file.is_file() && file.nlink() > 1)?;
        let file = (file.dev(), file.ino());
        let of = self.folders.iter().find(|(folder, _)| has_file(folder, file, FOLDERS_DEEP_MAX));
        let is_plugin = || self.plugins.iter().any(|folder| has_file(folder, file, 0));
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

/// Device and number of a file: names that lead to one file have the same, as hard links do.
pub(super) type Identity = (u64, u64);

/// `None` if it does not exist, or its folder cannot be read.
pub(super) fn identity(path: &Path) -> Option<Identity> {
    fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    identity(one).is_some_and(|found| identity(other) == Some(found))
}

/// Whether one of the names in the folder, and in so many levels of folders below it, is that file.
fn has_file(folder: &Path, file: Identity, levels: usize) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.filter_map(Result::ok).any(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() && levels > 0 => has_file(&entry.path(), file, levels - 1),
        Ok(kind) => kind.is_file() && identity(&entry.path()) == Some(file),
        Err(_) => false,
    })
}

/// The same for all ways to write a path. Links are followed, also one to a file that does not exist yet.
pub(super) fn canonical(path: &Path) -> PathBuf {
    let (mut path, mut links) = (plain(path), 0);
    // A path that exists has no more links.
    while let Ok(to) = fs::read_link(&path)
        && links < LINKS_MAX
    {
        path = plain(&path.parent().unwrap_or(Path::new("/")).join(to));
        links += 1;
    }
    path
}

fn plain(path: &Path) -> PathBuf {
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
