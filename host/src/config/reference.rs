//! References to secrets: `env:NAME`, `file:PATH`, `credential:NAME`, and `literal:TEXT`.
//!
//! What they resolve to goes into a [`Secret`] and into no message.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::environment::{ENV_FILE, Environment, is_name};
use super::near::near;
use super::reader::Notes;
use crate::model::Secret;

/// Largest secret, in bytes.
const SECRET_BYTES_MAX: usize = 64 * 1024;

/// The secret that a reference names, for commands that are given one.
///
/// # Errors
/// What is wrong and what to write, without the text itself, which may be the secret.
pub fn resolve(text: &str, environment: &Environment, home: &Path) -> Result<Secret, String> {
    let reference = Reference::parse(text).ok_or_else(|| {
        "a secret is given as env:NAME, file:PATH, credential:NAME or literal:TEXT".to_owned()
    })?;
    let resolver = Resolver { environment, home };
    resolver.resolve(reference).map_err(|unresolved| {
        format!("the secret {}: {}; {}", unresolved.what, unresolved.label, unresolved.help)
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
    /// `None` when the text is none of them.
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

/// Why a reference has no value: what is said beside the caret, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unresolved {
    /// `is not set`, fit for "the secret of source `x` …".
    pub(super) what: &'static str,
    pub(super) label: String,
    pub(super) help: String,
}

impl Unresolved {
    fn new(what: &'static str, label: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what, label: label.into(), help: help.into() }
    }
}

/// Resolves references against an environment and a home folder.
pub(super) struct Resolver<'e> {
    pub(super) environment: &'e Environment,
    /// Where relative paths start.
    pub(super) home: &'e Path,
}

impl Resolver<'_> {
    /// Whether the reference names what is not looked up; that is noted.
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
            Reference::File(path) => read_secret(&self.home.join(non_empty(path, "file:PATH")?))?,
            Reference::Credential(name) => read_secret(&self.credential(name)?)?,
            Reference::Literal(text) => text.to_owned(),
        };
        if text.trim().is_empty() {
            return Err(Unresolved::new(
                "is empty",
                "nothing stands there",
                "an empty secret would let anybody in; set it to the one the sender shows you",
            ));
        }
        Ok(Secret::new(text))
    }

    fn variable(&self, name: &str) -> Result<String, Unresolved> {
        if !is_name(name) {
            let label = "no name of a variable";
            return Err(Unresolved::new("is not set", label, "write \"env:NAME\""));
        }
        let Some(value) = self.environment.variable(name) else {
            let in_file = self.environment.names_from_file().iter().map(String::as_str);
            let help =
                match (near_variable(name, in_file), near_variable(name, self.environment.names()))
                {
                    (Some(near), _) => format!("that file has {near}"),
                    (None, Some(near)) => format!("the environment has {near}"),
                    (None, None) => {
                        format!("export {name}=…, or put the line {name}=… into {ENV_FILE}")
                    }
                };
            let label = format!("not in the environment, nor in {ENV_FILE}");
            return Err(Unresolved::new("is not set", label, help));
        };
        value.to_str().map(str::to_owned).ok_or_else(|| {
            Unresolved::new("cannot be read", "the variable is not UTF-8", "use file:PATH instead")
        })
    }

    fn credential(&self, name: &str) -> Result<PathBuf, Unresolved> {
        let name = non_empty(name, "credential:NAME")?;
        if name.contains('/') || name.starts_with('.') {
            let label = "no name of a credential";
            return Err(Unresolved::new("cannot be read", label, "write \"credential:NAME\""));
        }
        let Some(folder) = self.environment.credentials() else {
            return Err(Unresolved::new(
                "is not set",
                "there is no $CREDENTIALS_DIRECTORY",
                format!("systemd makes it for a unit with LoadCredential={name}:/path/to/file"),
            ));
        };
        Ok(folder.join(name))
    }
}

/// The variable that was meant. Variables of one service begin alike (`TWILIO_ACCOUNT_SID`,
/// `TWILIO_AUTH_TOKEN`), therefore the last word must be alike as well.
fn near_variable<'c>(name: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let last = |name: &'c str| name.rsplit('_').next().unwrap_or(name);
    let word = name.rsplit('_').next().unwrap_or(name);
    near(name, candidates.filter(|candidate| near(word, [last(candidate)]).is_some()))
}

fn non_empty<'t>(text: &'t str, form: &str) -> Result<&'t str, Unresolved> {
    if text.is_empty() {
        return Err(Unresolved::new("is not set", "names nothing", format!("write \"{form}\"")));
    }
    Ok(text)
}

/// A file's text without one line break at its end.
fn read_secret(path: &Path) -> Result<String, Unresolved> {
    let failed = |reason: String| {
        let label = format!("cannot read {}: {reason}", path.display());
        Unresolved::new("cannot be read", label, "relative paths start at `home`")
    };
    // A pipe or a device could block the start for ever.
    let kind = std::fs::metadata(path).map_err(|error| failed(plain(&error)))?;
    if !kind.is_file() {
        return Err(failed("it is no regular file".to_owned()));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(SECRET_BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| failed(plain(&error)))?;
    if bytes.len() > SECRET_BYTES_MAX {
        return Err(failed(format!("it has more than {SECRET_BYTES_MAX} bytes")));
    }
    let mut text = String::from_utf8(bytes).map_err(|_| failed("it is not UTF-8".to_owned()))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// An I/O error without its number.
fn plain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
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
        let resolver = Resolver { environment: &environment, home: home.path() };
        let reference = Reference::parse(text).ok_or("no reference")?;
        let secret = resolver.resolve(reference).map_err(|unresolved| unresolved.what)?;
        Ok(secret.expose().to_owned())
    }

    #[test]
    fn only_a_variable_of_the_same_kind_is_taken_for_the_one_that_was_meant() {
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
    fn each_kind_resolves_or_says_why_not() {
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
            ("swordfish", Err("no reference")),
            ("https://example.org", Err("no reference")),
        ] {
            assert_eq!(resolve(text), result.map(str::to_owned), "{text}");
        }
    }
}
