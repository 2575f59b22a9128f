//! Where `env:` and `credential:` references are looked up. A plain value, so that tests need not change the
//! environment of the process.
//!
//! `dispatcher.env` beside the configuration adds variables that the environment does not have. Its lines are
//! `NAME=VALUE`. Empty lines and lines that begin with `#` are skipped. Single or double quotes around a value
//! are removed; nothing else in it is special. No message shows the text of this file.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::problem::Problem;
use super::regular_file::{self, ReadError};

/// Name of the file beside the configuration.
pub const ENV_FILE: &str = "dispatcher.env";
/// Largest `dispatcher.env`, in bytes.
pub const ENV_FILE_BYTES_MAX: usize = 64 * 1024;

/// Variables, and the folder of credentials.
#[derive(Clone, Default)]
pub struct Environment {
    variables: HashMap<String, OsString>,
    /// systemd's `$CREDENTIALS_DIRECTORY`.
    credentials: Option<PathBuf>,
    /// Names that came from `dispatcher.env`.
    from_file: Vec<String>,
    /// Look nothing up.
    skipped: bool,
    reader: Reader,
}

/// Who reads a configuration, and so as which user the daemon runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reader {
    /// The user of this process.
    Daemon,
    /// A person's, perhaps not the daemon's: the owner of the configuration's folder.
    Command,
    /// The same, and no warning says so.
    #[default]
    Unknown,
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("variables", &self.variables.len())
            .finish_non_exhaustive()
    }
}

impl Environment {
    /// The environment of this process, which is the daemon.
    #[must_use]
    pub fn of_daemon() -> Self {
        Self { reader: Reader::Daemon, ..Self::of_process() }
    }

    /// The environment of this process, which is a command.
    #[must_use]
    pub fn of_process() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .collect();
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        Self { variables, credentials, reader: Reader::Command, ..Self::default() }
    }

    #[must_use]
    pub fn new(variables: &[(&str, &str)], credentials: Option<PathBuf>) -> Self {
        let variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), value.into())).collect();
        Self { variables, credentials, ..Self::default() }
    }

    /// An environment that looks nothing up, to check a configuration without the daemon's environment. A
    /// warning lists what was not checked.
    #[must_use]
    pub fn skipped() -> Self {
        Self { skipped: true, ..Self::default() }
    }

    pub(super) const fn reader(&self) -> Reader {
        self.reader
    }

    pub(super) fn is_skipped(&self) -> bool {
        self.skipped
    }

    pub(super) fn variable(&self, name: &str) -> Option<&OsString> {
        self.variables.get(name)
    }

    pub(super) fn credentials(&self) -> Option<&Path> {
        self.credentials.as_deref()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }

    /// The names in `dispatcher.env`.
    #[must_use]
    pub fn names_from_file(&self) -> &[String] {
        &self.from_file
    }

    /// Adds the variables of `dispatcher.env` in this folder, if it exists. A variable of the process takes
    /// precedence over one of the file.
    pub fn read_file(&mut self, folder: &Path) -> Vec<Problem> {
        if self.skipped {
            return Vec::new();
        }
        let path = folder.join(ENV_FILE);
        let text = match read_text(&path) {
            Ok(Some(text)) => text,
            Ok(None) => return Vec::new(),
            Err(reason) => {
                return vec![Problem::error(format!("cannot read {}: {reason}", path.display()))];
            }
        };
        let mut problems: Vec<Problem> = world_readable(&path).into_iter().collect();
        for (index, line) in text.lines().enumerate() {
            match parse_line(line) {
                Ok(None) => {}
                Ok(Some((name, _))) if self.from_file.iter().any(|known| known == name) => {
                    let title = format!("`{name}` is set twice in {ENV_FILE}");
                    let problem = Problem::error(title).in_file(&path, index + 1);
                    problems.push(problem.help("remove one of the two lines"));
                }
                Ok(Some((name, value))) => {
                    self.from_file.push(name.to_owned());
                    self.variables.entry(name.to_owned()).or_insert_with(|| value.into());
                }
                Err(Malformed { title, help }) => {
                    problems.push(Problem::error(title).in_file(&path, index + 1).help(help));
                }
            }
        }
        problems
    }
}

/// Whether a shell could set a variable of this name.
pub(super) fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The file's text; `None` if the file does not exist.
fn read_text(path: &Path) -> Result<Option<String>, ReadError> {
    match regular_file::read(path, ENV_FILE_BYTES_MAX) {
        Err(ReadError::Missing) => Ok(None),
        read => read.map(Some),
    }
}

fn world_readable(path: &Path) -> Option<Problem> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    (mode & 0o004 != 0).then(|| {
        Problem::warning(format!("every user of this machine can read {}", path.display()))
            .help(format!("it contains secrets: chmod 640 {}", path.display()))
    })
}

struct Malformed {
    title: String,
    help: &'static str,
}

/// The name and value of a line; `None` for a comment or an empty line. No message repeats the line, which may
/// be a secret.
fn parse_line(line: &str) -> Result<Option<(&str, &str)>, Malformed> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let malformed = |title: &str, help| Err(Malformed { title: title.to_owned(), help });
    let Some((name, value)) = line.split_once('=') else {
        return malformed("this line has no `=`", "write NAME=VALUE, or begin the line with #");
    };
    let (name, value) = (name.trim_end(), value.trim_start());
    if name.starts_with("export ") {
        return malformed("`export` is not needed here", "write NAME=VALUE");
    }
    if !is_name(name) {
        return malformed(
            "the text before `=` is not a valid name",
            "a name consists of letters, digits and `_`, and does not begin with a digit",
        );
    }
    let Some(quote @ ('"' | '\'')) = value.chars().next() else {
        return Ok(Some((name, value)));
    };
    match value[1..].strip_suffix(quote) {
        Some(inner) if !inner.contains(quote) => Ok(Some((name, inner))),
        _ => Err(Malformed {
            title: format!(
                "the quote around the value of `{name}` is not closed at the end of the line"
            ),
            help: "put quotes around the whole value, or use none",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, mode: u32) -> (Environment, Vec<Problem>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(ENV_FILE);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let mut environment = Environment::new(&[("SET", "by the process")], None);
        let problems = environment.read_file(folder.path());
        (environment, problems)
    }

    #[test]
    fn reads_names_comments_and_quotes() {
        let text = "# a comment\n\nPLAIN=a b # c\nDOUBLE = \"x y\"\r\nSINGLE='it is'\nEMPTY=\nEQUALS=a=b==\nSET=no\n";
        let (environment, problems) = read(text, 0o640);
        assert_eq!(problems, Vec::new());
        for (name, value) in [
            ("PLAIN", "a b # c"),
            ("DOUBLE", "x y"),
            ("SINGLE", "it is"),
            ("EMPTY", ""),
            ("EQUALS", "a=b=="),
            ("SET", "by the process"),
        ] {
            assert_eq!(environment.variable(name), Some(&OsString::from(value)), "{name}");
        }
    }

    #[test]
    fn each_mistake_is_reported_with_its_line_and_without_its_text() {
        let text = "swordfish\nexport A=swordfish\n1A=swordfish\nB=\"swordfish\nC=1\nC=swordfish\n";
        let (_, problems) = read(text, 0o600);
        let lines: Vec<usize> = problems.iter().map(|problem| problem.position().1).collect();
        assert_eq!(lines, [1, 2, 3, 4, 6]);
        assert!(!format!("{problems:?}").contains("swordfish"), "{problems:?}");
    }

    #[test]
    fn a_world_readable_file_is_a_warning_and_a_huge_one_an_error() {
        let (_, problems) = read("A=1\n", 0o644);
        assert!(problems[0].title.contains("every user"), "{problems:?}");
        let (_, problems) = read(&"#".repeat(ENV_FILE_BYTES_MAX + 1), 0o600);
        assert!(problems[0].title.contains("larger than 65536 bytes"), "{problems:?}");
    }
}
