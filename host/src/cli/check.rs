//! `dispatcher check`: every problem of the configuration, or what it does if there is none.

use std::path::Path;

use super::exit::{Failure, OK, PROBLEMS};
use super::{find, matrix, out};
use crate::config::{self, Config, Environment, Problems};
use crate::model::{counted, printable};

/// What a check found, and the exit code.
pub(super) struct Found {
    pub(super) text: String,
    pub(super) code: u8,
}

/// Show every problem of the configuration, or what it does
///
/// Reads the configuration, its secrets and its plugins, and changes nothing. Ends with 1 when
/// there is an error. Otherwise it shows which source reaches which target, the addresses to
/// paste at your webhook senders, and when retries are given up.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// Format of the output: text, or one JSON object with a list of problems
    /// (file, line, column, severity, title, label, help).
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// Do not read the environment, dispatcher.env and credentials, for a machine without those of the
    /// daemon; shows what was skipped.
    #[arg(long)]
    no_env: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Checks the configuration and prints what it found.
pub(super) fn run(args: &CheckArgs, option: Option<&Path>) -> Result<u8, Failure> {
    let file = find::file(option)?;
    let environment = if args.no_env { Environment::skipped() } else { Environment::of_process() };
    let loaded = config::load_with(&file, &environment, crate::app::check);
    let found = match args.format {
        Format::Text => show(loaded, find::stdout_styled()),
        Format::Json => show_json(loaded),
    };
    out::line(&found.text);
    Ok(found.code)
}

fn show_json(loaded: Result<Config, Problems>) -> Found {
    let (problems, code) = match loaded {
        Ok(config) => (config.problems(Vec::new()), OK),
        Err(problems) => (problems, PROBLEMS),
    };
    Found { text: format!("{:#}", problems.json()), code }
}

fn show(loaded: Result<Config, Problems>, styled: bool) -> Found {
    let config = match loaded {
        Ok(config) => config,
        Err(problems) => {
            let mut text = find::report(&problems, styled);
            if problems.stop_only_parts() {
                text.push_str("\nThe daemon starts in spite of this:");
                text.push_str(&problems.consequences());
            }
            return Found { text, code: PROBLEMS };
        }
    };
    let warnings = config.problems(Vec::new());
    let mut text = warnings.render(styled);
    text.push_str(&matrix::render(&config));
    text.push_str(&format!("\n{}", valid(&config, &warnings)));
    Found { text, code: OK }
}

/// `dispatcher.toml is valid: 2 sources, 3 targets; 1 warning`.
fn valid(config: &Config, warnings: &Problems) -> String {
    let file = config.file.file_name().unwrap_or_default().to_string_lossy();
    let sources = counted(config.ingest.sources.len() as u64, "source", "sources");
    let targets = counted(config.targets.len() as u64, "target", "targets");
    let warnings =
        if warnings.is_empty() { String::new() } else { format!("; {}", warnings.count()) };
    format!("{} is valid: {sources}, {targets}{warnings}", printable(&file))
}

#[cfg(test)]
mod tests;
