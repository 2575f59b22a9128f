//! `dispatcher check`: every problem of the configuration, or what it does when there is none.

use std::path::Path;

use super::exit::{Failure, OK, PROBLEMS};
use super::{find, matrix, out};
use crate::config::{self, Config, Environment, Problems};

/// What a check found: text for people, and how it ended.
pub(super) struct Found {
    pub(super) text: String,
    pub(super) code: u8,
}

/// Checks the configuration and prints what it found.
pub(super) fn run(option: Option<&Path>) -> Result<u8, Failure> {
    let loaded = config::load(&find::file(option)?, &Environment::of_process());
    let found = check(loaded, crate::app::check, find::stdout_styled());
    out::line(&found.text);
    Ok(found.code)
}

/// `plugins` is the part that needs plugins: it is tried on a configuration without an error.
pub(super) fn check(
    loaded: Result<Config, Problems>,
    plugins: impl FnOnce(&Config) -> Vec<config::Problem>,
    styled: bool,
) -> Found {
    let config = match loaded {
        Ok(config) => config,
        Err(problems) => return Found { text: find::report(&problems, styled), code: PROBLEMS },
    };
    let problems = config.problems(plugins(&config));
    if problems.errors() > 0 {
        return Found { text: find::report(&problems, styled), code: PROBLEMS };
    }
    let mut text = problems.render(styled);
    text.push_str(&matrix::render(&config));
    if !problems.is_empty() {
        text.push_str(&format!("\n{}; nothing was changed", problems.count()));
    }
    Found { text, code: OK }
}

#[cfg(test)]
mod tests;
