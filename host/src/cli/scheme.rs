//! Finds the scheme and the secrets that a command names, built in or in the configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::exit::Failure;
use super::find;
use crate::config::{self, Environment, vendors};
use crate::model::{Secret, printable};
use crate::verify::{self, Scheme};

/// The scheme of that name. The configuration is read only for a name that is not built in.
pub(super) fn chosen(
    name: &str,
    token_in: Option<&str>,
    config: Option<&Path>,
) -> Result<Arc<Scheme>, Failure> {
    let scheme = match vendors::scheme(name) {
        Some(scheme) => Arc::clone(scheme),
        None => own(name, config)?,
    };
    let Some(text) = token_in else { return Ok(scheme) };
    if &*scheme.name != "token" {
        return Err(Failure::usage("--token-in needs --scheme token"));
    }
    let place = verify::token_in(text)
        .ok_or_else(|| Failure::usage("--token-in must be header:NAME or query:NAME"))?;
    Ok(Arc::new(verify::token(place)))
}

fn own(name: &str, config: Option<&Path>) -> Result<Arc<Scheme>, Failure> {
    let own = match find::file(config) {
        Ok(file) if config.is_some() || file.symlink_metadata().is_ok() => {
            find::load(Some(&file))?.schemes
        }
        _ => Vec::new(),
    };
    if let Some(scheme) = own.iter().find(|scheme| &*scheme.name == name) {
        return Ok(Arc::clone(scheme));
    }
    let names = own.iter().chain(vendors::schemes()).map(|scheme| &*scheme.name);
    let meant = config::near(name, names).map(|near| format!("; did you mean `{near}`?"));
    let unsigned = vendors::unsigned(name);
    let unsigned = unsigned.map(|by| format!("; {name} does not sign, use `{by}`"));
    let (name, meant) = (printable(name), unsigned.or(meant).unwrap_or_default());
    Err(Failure::usage(format!("unknown scheme `{name}`{meant} (`dispatcher verify --list`)")))
}

/// The environment that references are resolved in: the process's, and dispatcher.env beside the configuration.
fn environment(config: Option<&Path>) -> Result<Environment, Failure> {
    let mut environment = Environment::of_process();
    let folder = find::file(config).map_or(PathBuf::from("."), |file| config::folder(&file));
    let problems = environment.read_file(&folder);
    match problems.iter().find(|problem| problem.is_error()) {
        Some(problem) => Err(Failure::new(&problem.title)),
        None => Ok(environment),
    }
}

/// Kinds of references to a secret; any other text is the secret itself.
const REFERENCES: [&str; 4] = ["env:", "file:", "credential:", "literal:"];

/// A secret of the command line: a reference that is resolved, or the text itself.
pub(super) fn given(text: &str, config: Option<&Path>) -> Result<Secret, Failure> {
    if !REFERENCES.iter().any(|kind| text.starts_with(kind)) {
        return Ok(Secret::new(text));
    }
    config::resolve(text, &environment(config)?, Path::new(".")).map_err(Failure::usage)
}
