//! Which configuration a command works with, and what it looks up there by name.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use super::exit::{CONFIG, Failure, PROBLEMS};
use super::logging::colours_wanted;
use super::out;
use crate::config::{self, Config, Environment, Problems};
use crate::ingest::SourceSettings;
use crate::model::{Secret, printable};

/// Without `--config`, the first of these that exists is read.
const PLACES: [&str; 2] = ["dispatcher.toml", "/etc/dispatcher/dispatcher.toml"];

const NONE_FOUND: &str = "\
error: no configuration found: neither ./dispatcher.toml nor /etc/dispatcher/dispatcher.toml exists
  give one with --config FILE, or write a first one:

    dispatcher init sqreen

  to see it work without a configuration: dispatcher demo";

/// The file to read.
pub(super) fn file(option: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(file) = option {
        return Ok(file.to_owned());
    }
    let found = PLACES.iter().map(PathBuf::from).find(|place| place.exists());
    found.ok_or_else(|| Failure { code: PROBLEMS, text: NONE_FOUND.to_owned() })
}

/// Loads a configuration that must be valid; its warnings are printed to standard error.
pub(super) fn load(option: Option<&Path>) -> Result<Config, Failure> {
    let config = load_quietly(option)?;
    let warnings = config.problems(Vec::new());
    if !warnings.is_empty() {
        out::error(warnings.render(stderr_styled()).trim_end());
    }
    Ok(config)
}

fn load_quietly(option: Option<&Path>) -> Result<Config, Failure> {
    config::load(&file(option)?, &Environment::of_process()).map_err(|problems| failed(&problems))
}

fn failed(problems: &Problems) -> Failure {
    Failure { code: PROBLEMS, text: report(problems, stderr_styled()) }
}

/// Loads a configuration for the daemon. Any error in it ends with [`CONFIG`], and is shown together
/// with what the plugins report. What only a plugin reports stops its target and not the daemon; a secret without a value
/// stops its source. Warnings are logged.
pub(super) fn load_to_run(option: Option<&Path>) -> Result<Config, Failure> {
    let load = |file: &Path| {
        let mut secrets = Vec::new();
        let further = |config: &Config| {
            secrets.clone_from(&config.secret_files);
            Vec::new()
        };
        let loaded = config::load_to_start(file, &Environment::of_process(), further);
        (loaded.map_err(|problems| failed(&problems)), secrets)
    };
    let loaded = file(option).and_then(|file| config::read_saved(&file, || load(&file)));
    let config = loaded.map_err(|failure| {
        let whole = file(option).map(|file| {
            let environment = Environment::of_process();
            config::load_with(&file, &environment, crate::app::check)
        });
        let text = match whole {
            Ok(Err(problems)) => report(&problems, stderr_styled()),
            _ => failure.text,
        };
        Failure { code: CONFIG, text }
    })?;
    for problem in config.problems(Vec::new()).list() {
        for line in config.only(vec![problem.clone()]).lines() {
            if problem.is_error() { tracing::error!("{line}") } else { tracing::warn!("{line}") }
        }
    }
    Ok(config)
}

/// All problems, then their number.
pub(super) fn report(problems: &Problems, styled: bool) -> String {
    format!("{}{}; nothing was changed", problems.render(styled), problems.count())
}

/// The source of that name, and the secret that its sender signs with.
pub(super) fn source<'c>(
    config: &'c Config,
    name: &str,
) -> Result<(&'c SourceSettings, &'c Secret), Failure> {
    config.source(name).ok_or_else(|| {
        let names = || config.ingest.sources.iter().map(|source| &*source.name);
        Failure::usage(unknown("source", name, names))
    })
}

/// Says that a name is not configured, and which are.
pub(super) fn unknown<'n, N: Iterator<Item = &'n str>>(
    what: &str,
    name: &str,
    names: impl Fn() -> N,
) -> String {
    let near = config::near(name, names()).map(|near| format!("; did you mean `{near}`?"));
    let (name, near, names) = (printable(name), near.unwrap_or_default(), config::list(names()));
    format!("unknown {what} `{name}`{near} (configured: {names})")
}

fn stderr_styled() -> bool {
    std::io::stderr().is_terminal() && colours_wanted()
}

/// Whether standard output shows colours.
pub(super) fn stdout_styled() -> bool {
    std::io::stdout().is_terminal() && colours_wanted()
}
