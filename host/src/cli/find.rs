//! Which configuration a command works with.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use super::exit::{CONFIG, Failure, PROBLEMS};
use super::out;
use crate::config::{self, Config, Environment, Problems};

/// Read when `--config` is not given: the first of them that is there.
const PLACES: [&str; 2] = ["dispatcher.toml", "/etc/dispatcher/dispatcher.toml"];

const NONE_FOUND: &str = "\
error: there is no configuration: neither ./dispatcher.toml nor /etc/dispatcher/dispatcher.toml
  give one with --config FILE, or begin with one:

    dispatcher init sqreen

  to see it work without any: dispatcher demo";

/// The file to read.
pub(super) fn file(option: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(file) = option {
        return Ok(file.to_owned());
    }
    let found = PLACES.iter().map(PathBuf::from).find(|place| place.exists());
    found.ok_or_else(|| Failure { code: PROBLEMS, text: NONE_FOUND.to_owned() })
}

/// Loads it for a command that needs a sound one; its warnings go to standard error.
pub(super) fn load(option: Option<&Path>) -> Result<Config, Failure> {
    let config = load_quietly(option)?;
    let warnings = config.problems(Vec::new());
    if !warnings.is_empty() {
        out::error(warnings.render(stderr_styled()).trim_end());
    }
    Ok(config)
}

fn load_quietly(option: Option<&Path>) -> Result<Config, Failure> {
    config::load(&file(option)?, &Environment::of_process())
        .map_err(|problems| Failure { code: PROBLEMS, text: report(&problems, stderr_styled()) })
}

/// For the daemon: whatever is wrong with the configuration is a reason not to be started again, and
/// what the plugins say of it is shown too. Their word alone stops their own targets and not the
/// daemon. Warnings go to the log.
pub(super) fn load_to_run(option: Option<&Path>) -> Result<Config, Failure> {
    let config = load_quietly(option).map_err(|failure| {
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
    for warning in config.problems(Vec::new()).lines() {
        tracing::warn!("{warning}");
    }
    Ok(config)
}

/// All problems and how many they are.
pub(super) fn report(problems: &Problems, styled: bool) -> String {
    format!("{}{}; nothing was changed", problems.render(styled), problems.count())
}

fn stderr_styled() -> bool {
    std::io::stderr().is_terminal() && colours_wanted()
}

/// Whether standard output shows colours.
pub(super) fn stdout_styled() -> bool {
    std::io::stdout().is_terminal() && colours_wanted()
}

/// See <https://no-color.org>.
pub(super) fn colours_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
