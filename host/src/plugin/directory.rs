//! The plugin files in one directory, each checked without running any of its code.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::cache::{self, CopyError};
use super::file_problem::{FileError, FileProblem, OpenError};
use super::inspect;
use super::sanitize::one_line;
use super::settings::{FILE_BYTES_MAX, FILES_MAX, PROBLEM_BYTES_MAX, Settings};
use super::trust::{self, Identity};

/// How the names of the files of plugins begin that are built as this repository builds them.
pub(super) const OWN_PREFIX: &str = "libdispatcher_";

/// One plugin file, usable or not.
#[derive(Clone, Debug)]
pub struct PluginFile {
    pub path: PathBuf,
    /// The plugin's name; that of the file if the plugin's cannot be read.
    pub name: String,
    /// Empty if it cannot be read.
    pub version: String,
    /// Why it is not used.
    pub problem: Option<FileProblem>,
}

impl PluginFile {
    /// The file and its problem, if it has one.
    pub(super) fn refusal(&self) -> Option<(&Path, &FileProblem)> {
        Some((&self.path, self.problem.as_ref()?))
    }

    fn unusable(path: &Path, error: impl Into<FileError>) -> Self {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        Self {
            path: path.to_owned(),
            name: one_line(&name, PROBLEM_BYTES_MAX),
            version: String::new(),
            problem: Some(error.into().into()),
        }
    }
}

/// Opens a file that only trusted users could have changed, and returns its length too.
pub(super) fn open_trusted(path: &Path, strict: bool) -> Result<(File, u64), OpenError> {
    let file =
        cache::open(path).map_err(|error| match rustix::io::Errno::from_io_error(&error) {
            Some(rustix::io::Errno::LOOP) => OpenError::Link,
            _ => OpenError::Open(error),
        })?;
    let metadata = file.metadata().map_err(OpenError::Read)?;
    trust::file(&metadata, Identity::own(), strict)?;
    if metadata.len() > FILE_BYTES_MAX {
        return Err(OpenError::TooLarge(CopyError::TooLarge));
    }
    Ok((file, metadata.len()))
}

/// One directory of the search.
pub(super) struct Directory<'a> {
    path: &'a Path,
    strict: bool,
    /// Beside the executable there are libraries that are not plugins; they are not reported.
    skips_other_files: bool,
}

impl<'a> Directory<'a> {
    pub(super) fn new(path: &'a Path, settings: &Settings) -> Self {
        let own = std::env::current_exe().ok();
        let own = own.as_deref().and_then(Path::parent).and_then(|own| own.canonicalize().ok());
        let skips_other_files = own.is_some() && own == path.canonicalize().ok();
        Self { path, strict: settings.strict, skips_other_files }
    }

    /// The directory of one file that a person named: any problem with the file is reported.
    pub(super) fn of_file(file: &'a Path, settings: &Settings) -> Self {
        let path = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let path = path.unwrap_or(Path::new("."));
        Self { path, strict: settings.strict, skips_other_files: false }
    }

    pub(super) fn files(&self) -> Vec<PluginFile> {
        let entries = match self.path.read_dir() {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => return vec![PluginFile::unusable(self.path, FileError::Folder(error))],
        };
        let mut paths: Vec<_> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension() == Some(OsStr::new("so")))
            .collect();
        paths.sort_unstable();
        let too_many =
            (paths.len() > FILES_MAX).then(|| PluginFile::unusable(self.path, FileError::TooMany));
        paths.truncate(FILES_MAX);
        let folder = self.distrust();
        let files = paths.into_iter().map(|path| self.file(path, folder.as_ref()));
        files.chain(too_many).collect()
    }

    /// Why the folder is not safe, if it is not.
    pub(super) fn distrust(&self) -> Option<FileProblem> {
        let error = trust::folder(self.path, Identity::own(), self.strict).err()?;
        Some(FileError::from(error).into())
    }

    pub(super) fn file(&self, path: PathBuf, folder: Option<&FileProblem>) -> PluginFile {
        let (mut file, length) = match open_trusted(&path, self.strict) {
            Ok(opened) => opened,
            Err(error) => return PluginFile::unusable(&path, error),
        };
        match inspect::inspect(&object::ReadCache::new(&mut file), length) {
            Ok(facts) => {
                let problem = folder.cloned();
                PluginFile { path, name: facts.name, version: facts.version, problem }
            }
            Err(error) => PluginFile::unusable(&path, error),
        }
    }

    /// Whether the file is not a plugin, where other libraries are and its name does not say that it is one.
    pub(super) fn is_foreign(&self, file: &PluginFile) -> bool {
        let called = |name: &str| name.starts_with(OWN_PREFIX);
        self.skips_other_files
            && file.problem.as_ref().is_some_and(FileProblem::is_no_plugin)
            && !file.path.file_name().and_then(OsStr::to_str).is_some_and(called)
    }
}
