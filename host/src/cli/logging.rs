//! The log lines of the daemon, on standard error: text on a terminal, otherwise one JSON object a line.
//!
//! The formatter escapes the values of fields; text of senders goes through
//! [`printable`](crate::model::printable) before it becomes part of a message.

use std::io::IsTerminal as _;

use tracing::level_filters::LevelFilter;

/// The variable that sets the level if `--log-level` does not.
pub(super) const VARIABLE: &str = "DISPATCHER_LOG";

/// The variable is not a level.
#[derive(Debug, thiserror::Error)]
#[error("{VARIABLE} is not a level; write error, warn, info, debug or trace")]
pub(super) struct BadLevel;

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::ERROR,
            Level::Warn => Self::WARN,
            Level::Info => Self::INFO,
            Level::Debug => Self::DEBUG,
            Level::Trace => Self::TRACE,
        }
    }
}

/// Starts logging. The option takes precedence over the variable; the default is `info`.
///
/// # Errors
/// The variable is not a level.
pub(super) fn start(option: Option<Level>, variable: Option<&str>) -> Result<(), BadLevel> {
    let level = choose(option, variable)?;
    let builder = tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(level);
    let terminal = std::io::stderr().is_terminal();
    // Starting twice in one process (tests) keeps the first.
    let _ = if terminal {
        builder.with_target(false).with_ansi(super::find::colours_wanted()).try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    };
    Ok(())
}

fn choose(option: Option<Level>, variable: Option<&str>) -> Result<LevelFilter, BadLevel> {
    use clap::ValueEnum as _;
    match (option, variable.filter(|text| !text.is_empty())) {
        (Some(level), _) => Ok(level.into()),
        (None, None) => Ok(LevelFilter::INFO),
        (None, Some(text)) => {
            Level::from_str(text, true).map(LevelFilter::from).map_err(|_| BadLevel)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_takes_precedence_and_a_wrong_level_is_refused() {
        for (option, variable, expected) in [
            (None, None, Ok(LevelFilter::INFO)),
            (None, Some(""), Ok(LevelFilter::INFO)),
            (None, Some("WARN"), Ok(LevelFilter::WARN)),
            (Some(Level::Trace), Some("error"), Ok(LevelFilter::TRACE)),
            (None, Some("loud"), Err(())),
        ] {
            assert_eq!(choose(option, variable).map_err(|_| ()), expected);
        }
    }
}
