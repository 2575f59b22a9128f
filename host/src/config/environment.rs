//! Where `env:` and `credential:` references are looked up: a plain value, so that tests need not touch
//! the process's own environment.
//!
//! `dispatcher.env` beside the configuration adds variables that the environment does not have. Its
//! lines are `NAME=VALUE`; empty lines and lines that begin with `#` are skipped; a value in single or
//! double quotes is taken without them, and nothing else is special in it. Its text is never shown.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::problem::Problem;

/// Name of the file beside the configuration.
pub const ENV_FILE: &str = "dispatcher.env";
/// Largest `dispatcher.env`, in bytes.
pub const ENV_FILE_BYTES_MAX: usize = 64 * 1024;

/// Variables and the folder of credentials.
#[derive(Clone, Default)]
pub struct Environment {
    variables: HashMap<String, OsString>,
    /// systemd's `$CREDENTIALS_DIRECTORY`.
    credentials: Option<PathBuf>,
    /// Names that came from the file.
    from_file: Vec<String>,
    /// Nothing is looked up.
    skipped: bool,
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("variables", &self.variables.len())
            .finish_non_exhaustive()
    }
}

impl Environment {
    /// The environment that this process was started with.
    #[must_use]
    pub fn of_process() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .collect();
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        Self { variables, credentials, ..Self::default() }
    }

    #[must_use]
    pub fn new(variables: &[(&str, &str)], credentials: Option<PathBuf>) -> Self {
        let variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), value.into())).collect();
        Self { variables, credentials, ..Self::default() }
    }

    /// One that looks nothing up, for a check where the daemon's own environment is not at hand: what needs
    /// it is passed over and told in a warning.
    #[must_use]
    pub fn skipped() -> Self {
        Self { skipped: true, ..Self::default() }
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

    /// Names that `dispatcher.env` has.
    pub(super) fn names_from_file(&self) -> &[String] {
        &self.from_file
    }

    /// Adds what `dispatcher.env` in that folder says; a variable of the process goes before one of
    /// the file. No file is no problem.
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
        let mut problems: Vec<Problem> = readable_by_all(&path).into_iter().collect();
        for (index, line) in text.lines().enumerate() {
            match parse_line(line) {
                Ok(None) => {}
                Ok(Some((name, _))) if self.from_file.iter().any(|known| known == name) => {
                    let title = format!("`{name}` stands twice in {ENV_FILE}");
                    problems.push(Problem::error(title).in_file(&path, index + 1));
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

/// A name that a shell could set.
pub(super) fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The file's text; `None` when there is no such file.
fn read_text(path: &Path) -> Result<Option<String>, String> {
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|error| error.to_string())?,
    };
    let mut bytes = Vec::new();
    file.take(ENV_FILE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() > ENV_FILE_BYTES_MAX {
        return Err(format!("it has more than {ENV_FILE_BYTES_MAX} bytes"));
    }
    String::from_utf8(bytes).map(Some).map_err(|_| "it is not UTF-8".to_owned())
}

fn readable_by_all(path: &Path) -> Option<Problem> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    (mode & 0o004 != 0).then(|| {
        Problem::warning(format!("everybody on this machine can read {}", path.display()))
            .help(format!("it holds secrets: chmod 640 {}", path.display()))
    })
}

struct Malformed {
    title: String,
    help: &'static str,
}

/// Name and value of a line; `None` when it has none. No message repeats the line: it may be a secret.
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
            "what stands before `=` is no name",
            "a name has letters, digits and `_`, and does not begin with a digit",
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
            help: "quotes stand around the whole value, or not at all",
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
    fn names_the_line_of_each_mistake_and_repeats_no_secret() {
        let text = "swordfish\nexport A=swordfish\n1A=swordfish\nB=\"swordfish\nC=1\nC=swordfish\n";
        let (_, problems) = read(text, 0o600);
        let lines: Vec<usize> = problems.iter().map(|problem| problem.position().1).collect();
        assert_eq!(lines, [1, 2, 3, 4, 6]);
        assert!(!format!("{problems:?}").contains("swordfish"), "{problems:?}");
    }

    #[test]
    fn warns_when_everybody_can_read_it_and_refuses_a_huge_one() {
        let (_, problems) = read("A=1\n", 0o644);
        assert!(problems[0].title.contains("everybody"), "{problems:?}");
        let (_, problems) = read(&"#".repeat(ENV_FILE_BYTES_MAX + 1), 0o600);
        assert!(problems[0].title.contains("more than 65536 bytes"), "{problems:?}");
    }
}
