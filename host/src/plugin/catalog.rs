//! All plugin files found in the directories of the search, and loading one by its name.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::directory::{Directory, PluginFile, open_trusted};
use super::file_problem::{FileError, FileProblem};
use super::library::Plugin;
use super::refused::{self, Refused};
use super::sanitize::one_line;
use super::settings::{PROBLEM_BYTES_MAX, Settings};
use super::{cache, proof};

/// The plugins that come with the program.
const SHIPPED: [&str; 3] = ["file-log", "http", "twilio-sms"];
/// The least likeness of a name that is suggested.
const LIKENESS_MIN: f64 = 0.7;

/// Why a plugin is not loaded; one line of at most [`PROBLEM_BYTES_MAX`] bytes.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LoadError {
    /// No plugin has that name.
    #[error("{}", unknown(.name, (.near.as_deref(), .refused), .found, .searched))]
    Unknown {
        name: String,
        near: Option<String>,
        /// Files whose plugin cannot be read: it may be in one of them.
        refused: Box<Refused>,
        found: Vec<String>,
        searched: Vec<PathBuf>,
    },
    /// By their names, these files have that plugin, and none of them can be used.
    #[error("{}", one_line(&format!("plugin `{name}` is refused: {refused}"), PROBLEM_BYTES_MAX))]
    Refused { name: String, refused: Refused },
    /// The file exists and cannot be used.
    #[error("{}", one_line(&format!("plugin {}: {problem}", path.display()), PROBLEM_BYTES_MAX))]
    File { path: PathBuf, problem: FileProblem },
}

fn unknown(
    name: &str,
    (near, refused): (Option<&str>, &Refused),
    found: &[String],
    searched: &[PathBuf],
) -> String {
    let hint = near.map_or_else(String::new, |near| format!(", did you mean `{near}`?"));
    let refused = match refused.is_empty() {
        true => String::new(),
        false => format!("; it may be in a file that cannot be used: {refused}"),
    };
    let found = match found {
        [] => "no plugin".to_owned(),
        found => found.join(", "),
    };
    let searched: Vec<_> = searched.iter().map(|path| path.display().to_string()).collect();
    let searched = searched.join(", ");
    let text = if SHIPPED.contains(&name) {
        let file = format!("libdispatcher_{}.so", name.replace('-', "_"));
        let text = format!("plugin `{name}` is missing: its file {file} is in none of {searched}");
        format!("{text} (found {found}); copy it to one of them{refused}")
    } else {
        format!("unknown plugin `{name}`{hint} (found {found} in {searched}){refused}")
    };
    one_line(&text, PROBLEM_BYTES_MAX)
}

/// The plugin files found, and the plugins loaded from them, or why they are not.
#[derive(Debug)]
pub struct Catalog {
    settings: Settings,
    files: Vec<PluginFile>,
    /// Other libraries beside the executable. They are reported only for a plugin whose name they have.
    foreign: Vec<PluginFile>,
    loaded: Mutex<HashMap<String, Result<Plugin, FileProblem>>>,
}

impl Catalog {
    /// Searches the directories. Runs no code of any file and never fails: an unusable file has a
    /// [`problem`](PluginFile::problem).
    #[must_use]
    pub fn scan(settings: &Settings) -> Self {
        let (mut files, mut foreign): (Vec<PluginFile>, Vec<_>) = Default::default();
        for directory in &settings.directories {
            let directory = Directory::new(directory, settings);
            for mut file in directory.files() {
                if directory.is_foreign(&file) {
                    foreign.push(file);
                    continue;
                }
                let twin = files.iter().find(|other| {
                    file.problem.is_none() && other.problem.is_none() && other.name == file.name
                });
                if let Some(twin) = twin {
                    if same_content(&twin.path, &file.path) {
                        continue;
                    }
                    let (name, first) = (file.name.clone(), twin.path.clone());
                    file.problem = Some(FileError::SecondOfItsName { name, first }.into());
                }
                files.push(file);
            }
        }
        Self { settings: settings.clone(), files, foreign, loaded: Mutex::default() }
    }

    /// This one file, wherever it is and whatever its extension, after the same checks.
    #[must_use]
    pub fn of_file(path: &Path, settings: &Settings) -> Self {
        let directory = Directory::of_file(path, settings);
        let files = vec![directory.file(path.to_owned(), directory.distrust().as_ref())];
        let foreign = Vec::new();
        Self { settings: settings.clone(), files, foreign, loaded: Mutex::default() }
    }

    /// Everything found, in the order of the search.
    #[must_use]
    pub fn files(&self) -> &[PluginFile] {
        &self.files
    }

    /// Loads the plugin of that name, once, with success or not.
    ///
    /// # Errors
    /// No plugin has that name, or its file cannot be used.
    pub fn load(&self, name: &str) -> Result<Plugin, LoadError> {
        let file = self.find(name)?;
        let opened = match self.loaded.lock() {
            Err(_) => Err(FileError::EarlierPanic.into()),
            Ok(mut loaded) => loaded
                .entry(name.to_owned())
                .or_insert_with(|| self.open(file).map_err(FileProblem::from))
                .clone(),
        };
        opened.map_err(|problem| LoadError::File { path: file.path.clone(), problem })
    }

    fn find(&self, name: &str) -> Result<&PluginFile, LoadError> {
        let named = || self.files.iter().filter(|file| file.name == name);
        if let Some(file) = named().find(|file| file.problem.is_none()) {
            return Ok(file);
        }
        let all = || self.files.iter().chain(&self.foreign);
        let called = |file: &&PluginFile| file.name == name || refused::is_called(file, name);
        let mut likely = all().filter(called).filter_map(PluginFile::refusal).peekable();
        if likely.peek().is_some() {
            let refused = Refused::new(likely, self.unusable());
            return Err(LoadError::Refused { name: name.to_owned(), refused });
        }
        let usable = self.files.iter().filter(|file| file.problem.is_none());
        let found: Vec<_> = usable.map(|file| file.name.clone()).collect();
        let near = found
            .iter()
            .map(|found| (strsim::jaro_winkler(found, name), found))
            .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
            .max_by(|(a, _), (b, _)| a.total_cmp(b))
            .map(|(_, found)| found.clone());
        let nameless = self.files.iter().filter(|file| file.version.is_empty());
        let nameless = refused::likeliest_first(nameless.collect(), name);
        let nameless = nameless.into_iter().filter_map(PluginFile::refusal);
        let refused = Box::new(Refused::new(nameless, self.unusable()));
        let (name, searched) = (name.to_owned(), self.settings.directories.clone());
        Err(LoadError::Unknown { name, near, refused, found, searched })
    }

    fn unusable(&self) -> usize {
        self.files.iter().filter(|file| file.problem.is_some()).count()
    }

    /// Repeats all checks, on the file's current content.
    fn open(&self, file: &PluginFile) -> Result<Plugin, FileError> {
        let (mut source, _) = open_trusted(&file.path, self.settings.strict)?;
        let copy = cache::copy(&mut source, &self.settings.cache)?;
        if copy.facts.name != file.name {
            return Err(FileError::Renamed(copy.facts.name));
        }
        proof::prove(&copy.path, &copy.hash, &[])?;
        let plugin = Plugin::open(&copy.path, copy.hash, &file.path)?;
        if plugin.manifest().name != file.name {
            return Err(FileError::TwoNames);
        }
        Ok(plugin)
    }
}

fn same_content(a: &Path, b: &Path) -> bool {
    matches!((cache::hash_of(a), cache::hash_of(b)), (Ok(a), Ok(b)) if a == b)
}
