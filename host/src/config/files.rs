//! The files of a configuration: the named file, and `conf.d/*.toml` beside it in the order of their names.
//!
//! Sources, targets and schemes may be in any file, but each name in only one. Any other table must be in
//! one file. The limit of bytes applies to all files together.

use std::fs;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Error};

use super::document::File;
use super::problem::Problem;
use super::reader::Notes;
use super::regular_file::{self, ReadError};

/// Largest configuration, in bytes.
pub const CONFIG_BYTES_MAX: usize = 1024 * 1024;
/// The folder beside the configuration file.
pub const MORE_FOLDER: &str = "conf.d";
/// Most files in that folder.
pub const MORE_FILES_MAX: usize = 100;
/// Tables whose entries may be in several files.
const SHARED: [&str; 3] = ["schemes", "sources", "targets"];

/// The texts of all files, concatenated with a line break between them.
pub(super) struct Text {
    pub(super) files: Vec<File>,
    pub(super) text: String,
}

/// A file that cannot be read at all.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}: {reason}", file.display())]
pub(super) struct Unreadable {
    pub(super) file: PathBuf,
    pub(super) reason: String,
}

/// The files, parsed. Every place is a range of bytes in the whole text.
pub(super) struct Parsed<'t> {
    pub(super) tables: Vec<DeTable<'t>>,
    pub(super) invalid: Vec<InvalidToml>,
}

/// A part of the text that is not valid TOML.
#[derive(Debug)]
pub(super) struct InvalidToml {
    pub(super) span: Range<usize>,
    pub(super) error: Error,
}

impl Text {
    /// Reads the file and those in `conf.d` beside it, if that folder exists.
    pub(super) fn read(file: &Path) -> Result<Self, Unreadable> {
        let mut whole = Self::read_one(file)?;
        for more in more(file)? {
            whole.text.push('\n');
            whole.add(&more)?;
        }
        Ok(whole)
    }

    /// Reads the file alone.
    pub(super) fn read_one(file: &Path) -> Result<Self, Unreadable> {
        let mut whole = Self { files: Vec::new(), text: String::new() };
        whole.add(file)?;
        Ok(whole)
    }

    fn add(&mut self, file: &Path) -> Result<(), Unreadable> {
        let left = CONFIG_BYTES_MAX.saturating_sub(self.text.len());
        let text = read_text(file, left, self.files.is_empty())
            .map_err(|reason| Unreadable { file: file.to_owned(), reason })?;
        self.files.push(File { name: file.display().to_string(), start: self.text.len() });
        self.text.push_str(&text);
        Ok(())
    }

    /// Parses each file.
    pub(super) fn parse(&self) -> Parsed<'_> {
        let mut parsed = Parsed { tables: Vec::new(), invalid: Vec::new() };
        for (index, file) in self.files.iter().enumerate() {
            let end = self.files.get(index + 1).map_or(self.text.len(), |next| next.start - 1);
            let (table, errors) = DeTable::parse_recoverable(&self.text[file.start..end]);
            parsed.tables.push(shift_table(table.into_inner(), file.start));
            parsed.invalid.extend(errors.into_iter().map(|error| {
                let span = error.span().unwrap_or(0..0);
                InvalidToml { span: span.start + file.start..span.end + file.start, error }
            }));
        }
        parsed
    }

    /// Merges the tables into one. An entry that is in two files is noted with both places; the first wins.
    pub(super) fn merge<'t>(&self, tables: Vec<DeTable<'t>>, notes: &Notes) -> DeTable<'t> {
        let mut tables = tables.into_iter();
        let mut all = tables.next().unwrap_or_default();
        for table in tables {
            for (key, value) in table {
                let shared = SHARED.contains(&key.get_ref().as_ref());
                let name = key.get_ref().clone();
                match all.get_mut(name.as_ref()).map(Spanned::get_mut) {
                    None => {
                        all.insert(key, value);
                    }
                    Some(DeValue::Table(first)) if shared && value.get_ref().is_table() => {
                        let DeValue::Table(more) = value.into_inner() else { continue };
                        for (inner, value) in more {
                            if let Some((known, _)) = first.get_key_value(inner.get_ref().as_ref())
                            {
                                self.note_duplicate(
                                    &format!("{name}.{}", inner.get_ref()),
                                    known.span(),
                                    &inner,
                                    notes,
                                );
                            } else {
                                first.insert(inner, value);
                            }
                        }
                    }
                    Some(_) => {
                        let known = all
                            .get_key_value(name.as_ref())
                            .map_or(0..0, |(known, _)| known.span());
                        self.note_duplicate(&name, known, &key, notes);
                    }
                }
            }
        }
        all
    }

    fn note_duplicate<T>(
        &self,
        path: &str,
        first: Range<usize>,
        second: &Spanned<T>,
        notes: &Notes,
    ) {
        let place = |at: usize| {
            let file = self.files.iter().rev().find(|file| file.start <= at);
            file.map_or((String::new(), 0), |file| {
                (file.name.clone(), self.text[file.start..at].matches('\n').count() + 1)
            })
        };
        let ((first, line), (other, _)) = (place(first.start), place(second.span().start));
        let title = format!("`{path}` is defined in {first} and in {other}");
        let label = format!("first defined at {first}:{line}");
        let problem = Problem::error(title).at(second.span(), label);
        notes.add(problem.help("move the keys of a table into one file, or rename one table"));
    }
}

/// The files of `conf.d` in the order of their names. None if the folder does not exist.
fn more(file: &Path) -> Result<Vec<PathBuf>, Unreadable> {
    let folder = file.with_file_name(MORE_FOLDER);
    let unreadable = |reason: String| Unreadable { file: folder.clone(), reason };
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound && regular_file::is_link(&folder) => {
            return Err(unreadable(ReadError::Dangling.to_string()));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            let help = "it is not a folder; put the folder of further files there, or nothing";
            return Err(unreadable(help.to_owned()));
        }
        Err(error) => return Err(unreadable(error.to_string())),
    };
    let mut files = Vec::new();
    for entry in entries {
        let name = entry.map_err(|error| unreadable(error.to_string()))?.file_name();
        let is_ours = Path::new(&name).extension().is_some_and(|extension| extension == "toml");
        // Editors leave hidden files behind.
        if is_ours && !name.to_string_lossy().starts_with('.') {
            files.push(folder.join(name));
        }
        if files.len() > MORE_FILES_MAX {
            return Err(unreadable(format!("more than {MORE_FILES_MAX} .toml files")));
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn read_text(file: &Path, bytes_max: usize, is_first: bool) -> Result<String, String> {
    regular_file::read(file, bytes_max).map_err(|error| match error {
        ReadError::TooLarge(_) if is_first => {
            format!("the file is larger than {CONFIG_BYTES_MAX} bytes")
        }
        ReadError::TooLarge(_) => {
            format!("all files together are larger than {CONFIG_BYTES_MAX} bytes")
        }
        error => error.to_string(),
    })
}

/// The files that are read: the named file and those in `conf.d`, as far as that can be listed.
#[must_use]
pub fn configuration_files(file: &Path) -> Vec<PathBuf> {
    let more = more(file).unwrap_or_default();
    [file.to_owned()].into_iter().chain(more).collect()
}

/// The file that has a table, such as `["sources", "github"]`. The named file if none of them has it or can be read.
#[must_use]
pub fn file_with(file: &Path, table: &[&str]) -> PathBuf {
    let has_table = |file: &PathBuf| {
        let Ok(text) = regular_file::read(file, CONFIG_BYTES_MAX) else { return false };
        let Ok(whole) = DeTable::parse(&text) else { return false };
        let mut inner = Some(whole.get_ref());
        for name in table {
            inner = match inner.and_then(|outer| outer.get(*name)).map(Spanned::get_ref) {
                Some(DeValue::Table(next)) => Some(next),
                _ => None,
            };
        }
        inner.is_some()
    };
    configuration_files(file).into_iter().find(has_table).unwrap_or_else(|| file.to_owned())
}

/// The table with every place moved by `by` bytes.
fn shift_table(table: DeTable<'_>, by: usize) -> DeTable<'_> {
    if by == 0 {
        return table;
    }
    table.into_iter().map(|(key, value)| (shift(key, by), shift_value(value, by))).collect()
}

fn shift_value(value: Spanned<DeValue<'_>>, by: usize) -> Spanned<DeValue<'_>> {
    let span = value.span();
    let value = match value.into_inner() {
        DeValue::Table(table) => DeValue::Table(shift_table(table, by)),
        DeValue::Array(items) => {
            let mut shifted = DeArray::new();
            items.into_iter().for_each(|item| shifted.push(shift_value(item, by)));
            DeValue::Array(shifted)
        }
        plain => plain,
    };
    shift(Spanned::new(span, value), by)
}

fn shift<T>(value: Spanned<T>, by: usize) -> Spanned<T> {
    let span = value.span();
    Spanned::new(span.start + by..span.end + by, value.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a configuration and, in `conf.d`, files with these names and texts.
    fn folder(more: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dispatcher.toml");
        fs::write(&file, "a = 1\n").unwrap();
        fs::create_dir(folder.path().join(MORE_FOLDER)).unwrap();
        for (name, text) in more {
            fs::write(folder.path().join(MORE_FOLDER).join(name), text).unwrap();
        }
        (folder, file)
    }

    fn refused(file: &Path) -> String {
        Text::read(file).map(|_| ()).map_err(|unreadable| unreadable.reason).unwrap_err()
    }

    #[test]
    fn toml_files_are_read_in_the_order_of_their_names_and_other_files_are_skipped() {
        let more = [("b.toml", "c = 3"), ("a.toml", "b = 2"), (".c.toml", "no"), ("d.txt", "no")];
        let (_folder, file) = folder(&more);
        let whole = Text::read(&file).map_err(|unreadable| unreadable.reason).unwrap();
        assert_eq!(whole.text, "a = 1\n\nb = 2\nc = 3");
        let Parsed { tables, invalid } = whole.parse();
        assert!(invalid.is_empty(), "{invalid:?}");
        let notes = Notes::default();
        let all = whole.merge(tables, &notes);
        for (key, value) in &all {
            assert_eq!(&whole.text[key.span()], key.get_ref());
            assert_eq!(whole.text[value.span()].len(), 1);
        }
        assert_eq!((all.len(), notes.into_parts().0.len()), (3, 0));
    }

    #[test]
    fn limits_and_irregular_files_are_reported() {
        let half = format!("# {}\n", "x".repeat(CONFIG_BYTES_MAX / 2));
        let (_folder, file) = folder(&[("a.toml", &half), ("b.toml", &half)]);
        assert_eq!(refused(&file), "all files together are larger than 1048576 bytes");
        let names: Vec<String> = (0..=MORE_FILES_MAX).map(|n| format!("{n}.toml")).collect();
        let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
        let (_folder, file) = folder(&many);
        assert_eq!(refused(&file), "more than 100 .toml files");
        let (folder, file) = self::folder(&[]);
        fs::create_dir(folder.path().join(MORE_FOLDER).join("x.toml")).unwrap();
        let reason = refused(&file);
        assert_eq!(reason, "it is a folder; put a regular file there, or a link to one");
        fs::remove_dir_all(folder.path().join(MORE_FOLDER)).unwrap();
        fs::write(folder.path().join(MORE_FOLDER), "").unwrap();
        assert!(refused(&file).starts_with("it is not a folder; "), "{}", refused(&file));
        // What is behind it is not there for the moment, and its sources would be lost in silence.
        fs::remove_file(folder.path().join(MORE_FOLDER)).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join(MORE_FOLDER)).unwrap();
        assert!(refused(&file).starts_with("it is a link to something that does not exist; "));
    }
}
