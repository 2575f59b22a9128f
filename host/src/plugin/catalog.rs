//! Which plugins there are, and loading one by its name.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::clean::one_line;
use super::inspect::{self, Refusal};
use super::trust::{self, Identity};
use super::{FILE_BYTES_MAX, PROBLEM_BYTES_MAX, Plugin, Settings, cache};

/// Most files looked at in one directory.
const FILES_MAX: usize = 1024;
/// How alike a name must be to be suggested.
const LIKENESS_MIN: f64 = 0.7;

/// One plugin file, usable or not.
#[derive(Clone, Debug)]
pub struct PluginFile {
    pub path: PathBuf,
    /// The plugin's name; the file's where that cannot be read.
    pub name: String,
    /// Empty where it cannot be read.
    pub version: String,
    /// Why it is not used: one line.
    pub problem: Option<String>,
}

/// Why a plugin is not loaded; one line of at most [`PROBLEM_BYTES_MAX`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// No file has that name.
    #[error("{}", unknown(.name, .near.as_deref(), .found, .searched))]
    Unknown { name: String, near: Option<String>, found: Vec<String>, searched: Vec<PathBuf> },
    /// The file is there and cannot be used.
    #[error("{}", one_line(&format!("plugin {}: {reason}", path.display()), PROBLEM_BYTES_MAX))]
    File { path: PathBuf, reason: String },
}

fn unknown(name: &str, near: Option<&str>, found: &[String], searched: &[PathBuf]) -> String {
    let hint = near.map_or_else(String::new, |near| format!(", did you mean `{near}`?"));
    let found = match found {
        [] => "no plugin at all".to_owned(),
        found => found.join(", "),
    };
    let searched: Vec<_> = searched.iter().map(|path| path.display().to_string()).collect();
    let searched = searched.join(", ");
    let text = format!("there is no plugin `{name}`{hint} (found {found} in {searched})");
    one_line(&text, PROBLEM_BYTES_MAX)
}

/// The plugin files found, and the plugins loaded from them.
#[derive(Debug)]
pub struct Catalog {
    settings: Settings,
    files: Vec<PluginFile>,
    loaded: Mutex<HashMap<String, Plugin>>,
}

impl Catalog {
    /// Looks through the directories. Runs no code of any file, and never fails: a bad file has its
    /// [`problem`](PluginFile::problem).
    #[must_use]
    pub fn scan(settings: &Settings) -> Self {
        let mut files: Vec<PluginFile> = Vec::new();
        for directory in &settings.directories {
            for mut file in Directory::new(directory, settings).files() {
                let twin = files.iter().find(|other| {
                    file.problem.is_none() && other.problem.is_none() && other.name == file.name
                });
                if let Some(twin) = twin {
                    if same_content(&twin.path, &file.path) {
                        continue;
                    }
                    file.problem = Some(line(&format!(
                        "not used: {} has the name {} too and is found first; remove one of them",
                        twin.path.display(),
                        file.name
                    )));
                }
                files.push(file);
            }
        }
        Self { settings: settings.clone(), files, loaded: Mutex::default() }
    }

    /// That one file, wherever it lies and whatever its name ends in, under the same checks.
    #[must_use]
    pub fn of_file(path: &Path, settings: &Settings) -> Self {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let alone =
            Directory { path: folder, strict: settings.strict, foreign_files_are_fine: false };
        let trusted = trust::folder(folder, Identity::own(), settings.strict);
        let files = alone.file(path.to_owned(), &trusted).into_iter().collect();
        Self { settings: settings.clone(), files, loaded: Mutex::default() }
    }

    /// Everything found, in the order of the search.
    #[must_use]
    pub fn files(&self) -> &[PluginFile] {
        &self.files
    }

    /// Loads the plugin of that name; the second time it is at hand.
    ///
    /// # Errors
    /// There is none, or its file cannot be used.
    pub fn load(&self, name: &str) -> Result<Plugin, LoadError> {
        let file = self.find(name)?;
        let reason = match self.loaded.lock() {
            Err(_) => "an earlier load of a plugin panicked".to_owned(),
            Ok(mut loaded) => match loaded.get(name) {
                Some(plugin) => return Ok(plugin.clone()),
                None => match self.open(file) {
                    Ok(plugin) => {
                        loaded.insert(name.to_owned(), plugin.clone());
                        return Ok(plugin);
                    }
                    Err(reason) => reason,
                },
            },
        };
        Err(LoadError::File { path: file.path.clone(), reason })
    }

    fn find(&self, name: &str) -> Result<&PluginFile, LoadError> {
        let named = || self.files.iter().filter(|file| file.name == name);
        if let Some(file) = named().find(|file| file.problem.is_none()) {
            return Ok(file);
        }
        if let Some((file, problem)) = named().find_map(|file| Some((file, file.problem.as_ref()?)))
        {
            return Err(LoadError::File { path: file.path.clone(), reason: problem.clone() });
        }
        let usable = self.files.iter().filter(|file| file.problem.is_none());
        let found: Vec<_> = usable.map(|file| file.name.clone()).collect();
        let near = found
            .iter()
            .map(|found| (strsim::jaro_winkler(found, name), found))
            .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
            .max_by(|(a, _), (b, _)| a.total_cmp(b))
            .map(|(_, found)| found.clone());
        let (name, searched) = (name.to_owned(), self.settings.directories.clone());
        Err(LoadError::Unknown { name, near, found, searched })
    }

    /// All checks once more, on the file as it is now.
    fn open(&self, file: &PluginFile) -> Result<Plugin, String> {
        let mut source = open_trusted(&file.path, self.settings.strict)?;
        let copy = cache::copy(&mut source, &self.settings.cache)?;
        if copy.facts.name != file.name {
            return Err(format!(
                "it holds plugin {} by now; look for plugins again",
                copy.facts.name
            ));
        }
        let plugin = Plugin::open(&copy.path, copy.hash)?;
        if plugin.manifest().name != file.name {
            return Err("its manifest and its section name different plugins".to_owned());
        }
        Ok(plugin)
    }
}

fn open_trusted(path: &Path, strict: bool) -> Result<std::fs::File, String> {
    let file =
        cache::open(path).map_err(|error| match rustix::io::Errno::from_io_error(&error) {
            Some(rustix::io::Errno::LOOP) => {
                "it is a symbolic link; put the file itself there".to_owned()
            }
            _ => format!("cannot open it: {error}"),
        })?;
    let metadata = file.metadata().map_err(|error| format!("cannot look at it: {error}"))?;
    trust::file(&metadata, Identity::own(), strict)?;
    if metadata.len() > FILE_BYTES_MAX {
        return Err(cache::too_large());
    }
    Ok(file)
}

fn same_content(a: &Path, b: &Path) -> bool {
    matches!((cache::hash_of(a), cache::hash_of(b)), (Ok(a), Ok(b)) if a == b)
}

fn line(text: &str) -> String {
    one_line(text, PROBLEM_BYTES_MAX)
}

/// One directory of the search.
struct Directory<'a> {
    path: &'a Path,
    strict: bool,
    /// Beside the executable lie libraries of others too, and they are no mistake.
    foreign_files_are_fine: bool,
}

impl<'a> Directory<'a> {
    fn new(path: &'a Path, settings: &Settings) -> Self {
        let own = std::env::current_exe().ok();
        let own = own.as_deref().and_then(Path::parent).and_then(|own| own.canonicalize().ok());
        let foreign_files_are_fine = own.is_some() && own == path.canonicalize().ok();
        Self { path, strict: settings.strict, foreign_files_are_fine }
    }

    fn files(&self) -> Vec<PluginFile> {
        let entries = match self.path.read_dir() {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                return vec![bad(self.path, &format!("cannot read this folder: {error}"))];
            }
        };
        let mut paths: Vec<_> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension() == Some(OsStr::new("so")))
            .collect();
        paths.sort_unstable();
        let too_many = (paths.len() > FILES_MAX).then(|| {
            let reason = format!("more than {FILES_MAX} .so files; those after them are ignored");
            bad(self.path, &reason)
        });
        paths.truncate(FILES_MAX);
        let folder = trust::folder(self.path, Identity::own(), self.strict);
        let files = paths.into_iter().filter_map(|path| self.file(path, &folder));
        files.chain(too_many).collect()
    }

    /// `None` for what is no plugin and need not be one.
    fn file(&self, path: PathBuf, folder: &Result<(), String>) -> Option<PluginFile> {
        let mut file = match open_trusted(&path, self.strict) {
            Ok(file) => file,
            Err(reason) => return Some(bad(&path, &reason)),
        };
        let length = match file.metadata() {
            Ok(metadata) => metadata.len(),
            Err(error) => return Some(bad(&path, &format!("cannot look at it: {error}"))),
        };
        let facts = match inspect::inspect(&object::ReadCache::new(&mut file), length) {
            Ok(facts) => facts,
            Err(Refusal::NotElf | Refusal::NotAPlugin) if self.foreign_files_are_fine => {
                return None;
            }
            Err(refusal) => return Some(bad(&path, &refusal.to_string())),
        };
        let problem = folder.as_ref().err().map(|reason| line(reason));
        Some(PluginFile { path, name: facts.name, version: facts.version, problem })
    }
}

fn bad(path: &Path, reason: &str) -> PluginFile {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    PluginFile {
        path: path.to_owned(),
        name: line(&name),
        version: String::new(),
        problem: Some(line(reason)),
    }
}
