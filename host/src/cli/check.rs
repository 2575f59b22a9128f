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
    let file = find::file(option)?;
    let loaded = config::load_with(&file, &Environment::of_process(), crate::app::check);
    let found = show(loaded, find::stdout_styled());
    out::line(&found.text);
    Ok(found.code)
}

fn show(loaded: Result<Config, Problems>, styled: bool) -> Found {
    let config = match loaded {
        Ok(config) => config,
        Err(problems) => return Found { text: find::report(&problems, styled), code: PROBLEMS },
    };
    let warnings = config.problems(Vec::new());
    let mut text = warnings.render(styled);
    text.push_str(&matrix::render(&config));
    if !warnings.is_empty() {
        text.push_str(&format!("\n{}; nothing was changed", warnings.count()));
    }
    Found { text, code: OK }
}

#[cfg(test)]
mod tests;
