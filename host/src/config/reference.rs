//! References to secrets: `env:NAME`, `file:PATH`, `credential:NAME`, and `literal:TEXT`.
//!
//! The value goes into a [`Secret`] and into no message.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use super::environment::{ENV_FILE, Environment, is_name};
use super::names::near;
use super::reader::Notes;
use super::{owners, regular_file};
use crate::model::Secret;

/// Largest secret, in bytes.
const SECRET_BYTES_MAX: usize = 64 * 1024;
/// The problem of a reference whose value is empty.
pub(super) const EMPTY: &str = "is empty";

/// Why a reference on the command line gives no secret. No message repeats the text, which may be the secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    #[error(
        "not a reference to a secret: write env:NAME, file:PATH, credential:NAME or literal:TEXT"
    )]
    NotAReference,
    #[error("the secret {problem}: {label}; {help}")]
    Unresolved { problem: &'static str, label: String, help: String },
}

/// Resolves a reference that was given on the command line.
///
/// # Errors
/// See [`InvalidSecret`].
pub fn resolve(
    text: &str,
    environment: &Environment,
    home: &Path,
) -> Result<Secret, InvalidSecret> {
    let reference = Reference::parse(text).ok_or(InvalidSecret::NotAReference)?;
    let resolver = Resolver::new(environment, home);
    resolver.resolve(reference).map_err(|Unresolved { problem, label, help, .. }| {
        InvalidSecret::Unresolved { problem, label, help }
    })
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reference<'t> {
    Env(&'t str),
    File(&'t str),
    Credential(&'t str),
    Literal(&'t str),
}

impl<'t> Reference<'t> {
    /// `None` if the text is not a reference.
    pub(super) fn parse(text: &'t str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        match kind {
            "env" => Some(Self::Env(rest)),
            "file" => Some(Self::File(rest)),
            "credential" => Some(Self::Credential(rest)),
            "literal" => Some(Self::Literal(rest)),
            _ => None,
        }
    }
}

/// Why a reference has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unresolved {
    /// Completes "the secret of source `x` …": `is not set`.
    pub(super) problem: &'static str,
    /// The text at the caret.
    pub(super) label: String,
    /// What to do.
    pub(super) help: String,
    /// The reference itself is wrong, whatever the environment has.
    pub(super) is_malformed: bool,
}

impl Unresolved {
    fn new(problem: &'static str, label: impl Into<String>, help: impl Into<String>) -> Self {
        Self { problem, label: label.into(), help: help.into(), is_malformed: false }
    }

    fn malformed(self) -> Self {
        Self { is_malformed: true, ..self }
    }
}

/// Resolves references against an environment and a home folder.
pub(super) struct Resolver<'e> {
    pub(super) environment: &'e Environment,
    /// The folder that relative paths start from.
    home: &'e Path,
    /// The files of `file:` and `credential:` that were named.
    files: RefCell<Vec<PathBuf>>,
}

impl<'e> Resolver<'e> {
    pub(super) const fn new(environment: &'e Environment, home: &'e Path) -> Self {
        Self { environment, home, files: RefCell::new(Vec::new()) }
    }

    pub(super) fn into_files(self) -> Vec<PathBuf> {
        self.files.into_inner()
    }

    /// Whether the reference is not looked up because the environment is not available. If so, this is noted.
    pub(super) fn skips(&self, reference: Reference<'_>, path: &str, notes: &Notes) -> bool {
        let text = match reference {
            Reference::Env(name) => format!("env:{name}"),
            Reference::Credential(name) => format!("credential:{name}"),
            Reference::File(_) | Reference::Literal(_) => return false,
        };
        if self.environment.is_skipped() {
            notes.skip(format!("{path} = \"{text}\""));
        }
        self.environment.is_skipped()
    }

    pub(super) fn resolve(&self, reference: Reference<'_>) -> Result<Secret, Unresolved> {
        let text = match reference {
            Reference::Env(name) => self.variable(name)?,
            Reference::File(path) => self.read(self.home.join(non_empty(path, "file:PATH")?))?,
            Reference::Credential(name) => self.read(self.credential(name)?)?,
            Reference::Literal(text) => text.to_owned(),
        };
        if text.trim().is_empty() {
            return Err(Unresolved::new(
                EMPTY,
                "the value is empty",
                "give it a value, or remove the key if it is not needed",
            ));
        }
        Ok(Secret::new(text))
    }

    fn read(&self, file: PathBuf) -> Result<String, Unresolved> {
        let text = read_secret(&file);
        self.files.borrow_mut().push(file);
        text
    }

    fn variable(&self, name: &str) -> Result<String, Unresolved> {
        if !is_name(name) {
            let label = "not a valid name of a variable";
            return Err(Unresolved::new("is not set", label, "write \"env:NAME\"").malformed());
        }
        let Some(value) = self.environment.variable(name) else {
            let in_file = self.environment.names_from_file().iter().map(String::as_str);
            let help =
                match (near_variable(name, in_file), near_variable(name, self.environment.names()))
                {
                    (Some(near), _) => format!("{ENV_FILE} has a similar name: {near}"),
                    (None, Some(near)) => format!("the environment has a similar name: {near}"),
                    (None, None) => {
                        format!("export {name}=…, or add the line {name}=… to {ENV_FILE}")
                    }
                };
            let label = format!("neither the environment nor {ENV_FILE} has it");
            return Err(Unresolved::new("is not set", label, help));
        };
        value.to_str().map(str::to_owned).ok_or_else(|| {
            Unresolved::new("cannot be read", "the variable is not UTF-8", "use file:PATH instead")
        })
    }

    fn credential(&self, name: &str) -> Result<PathBuf, Unresolved> {
        let name = non_empty(name, "credential:NAME")?;
        if name.contains('/') || name.starts_with('.') {
            let label = "not a valid name of a credential";
            let unresolved = Unresolved::new("cannot be read", label, "write \"credential:NAME\"");
            return Err(unresolved.malformed());
        }
        let Some(folder) = self.environment.credentials() else {
            return Err(Unresolved::new(
                "is not set",
                "$CREDENTIALS_DIRECTORY is not set",
                format!("systemd sets it for a unit with LoadCredential={name}:/path/to/file"),
            ));
        };
        Ok(folder.join(name))
    }
}

/// The variable that was probably meant. Variables of one service begin alike (`TWILIO_ACCOUNT_SID`,
/// `TWILIO_AUTH_TOKEN`), so the last words must also be similar.
fn near_variable<'c>(name: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let last = |name: &'c str| name.rsplit('_').next().unwrap_or(name);
    let word = name.rsplit('_').next().unwrap_or(name);
    near(name, candidates.filter(|candidate| near(word, [last(candidate)]).is_some()))
}

fn non_empty<'t>(text: &'t str, form: &str) -> Result<&'t str, Unresolved> {
    if text.is_empty() {
        let label = "the reference is incomplete";
        return Err(Unresolved::new("is not set", label, format!("write \"{form}\"")).malformed());
    }
    Ok(text)
}

/// A file's text without the line break at its end.
fn read_secret(path: &Path) -> Result<String, Unresolved> {
    let failed = |reason: String| {
        let label = format!("cannot read {}: {reason}", path.display());
        Unresolved::new("cannot be read", label, "relative paths start from `home`")
    };
    let mut text =
        regular_file::read(path, SECRET_BYTES_MAX).map_err(|error| failed(error.to_string()))?;
    if let Some(folder) = owners::open_folder(path) {
        let label = format!("every user of this machine could replace {}", path.display());
        let help = format!("remove that permission: chmod o-w {}", folder.display());
        return Err(Unresolved::new("is not safe", label, help));
    }
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> Result<String, &'static str> {
        let home = tempfile::tempdir().unwrap();
        let write =
            |name: &str, bytes: &[u8]| std::fs::write(home.path().join(name), bytes).unwrap();
        write("plain", b"swordfish");
        write("newline", b"swordfish\n");
        write("two", b"swordfish\r\n\n");
        write("empty", b"\n");
        write("binary", &[0xff, 0xfe]);
        write("large", &vec![b'x'; SECRET_BYTES_MAX + 1]);
        let variables = [("A", "one"), ("NONE", ""), ("BLANK", "  ")];
        let environment = Environment::new(&variables, Some(home.path().to_owned()));
        let resolver = Resolver::new(&environment, home.path());
        let reference = Reference::parse(text).ok_or("not a reference")?;
        let secret = resolver.resolve(reference).map_err(|unresolved| unresolved.problem)?;
        Ok(secret.expose().to_owned())
    }

    #[test]
    fn a_similar_name_is_suggested_only_if_its_last_word_is_similar() {
        for (name, there, meant) in [
            ("GITHUB_SECRET", "GITHUB_WEBHOOK_SECRET", true),
            ("SQREEN_SECERT", "SQREEN_SECRET", true),
            ("TWILIO_AUTH_TOKEN", "TWILIO_ACCOUNT_SID", false),
            ("TOKEN", "TOKEN1", true),
        ] {
            assert_eq!(near_variable(name, [there].into_iter()).is_some(), meant, "{name}");
        }
    }

    #[test]
    fn each_kind_of_reference_resolves_or_reports_why_not() {
        for (text, result) in [
            ("env:A", Ok("one")),
            ("env:MISSING", Err("is not set")),
            ("env:", Err("is not set")),
            ("env:NONE", Err("is empty")),
            ("env:BLANK", Err("is empty")),
            ("file:plain", Ok("swordfish")),
            ("file:newline", Ok("swordfish")),
            ("file:two", Ok("swordfish\r\n")),
            ("file:empty", Err("is empty")),
            ("file:binary", Err("cannot be read")),
            ("file:large", Err("cannot be read")),
            ("file:missing", Err("cannot be read")),
            ("file:.", Err("cannot be read")),
            ("file:", Err("is not set")),
            ("credential:plain", Ok("swordfish")),
            ("credential:../plain", Err("cannot be read")),
            ("credential:missing", Err("cannot be read")),
            ("literal:env:A", Ok("env:A")),
            ("literal:", Err("is empty")),
            ("swordfish", Err("not a reference")),
            ("https://example.org", Err("not a reference")),
        ] {
            assert_eq!(resolve(text), result.map(str::to_owned), "{text}");
        }
    }
}
