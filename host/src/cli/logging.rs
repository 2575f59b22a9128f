//! The log lines of the daemon, on standard error: text on a terminal, otherwise one JSON object a line, unless the
//! command line says otherwise.
//!
//! The formatter escapes the values of fields; text of senders goes through
//! [`printable`] before it becomes part of a message.
//!
//! Every line, also a last error or a panic, passes through [`LOG_QUEUE`], so that nothing waits for standard
//! error or fails with it.

use std::io::{self, IsTerminal as _, Write};
use std::time::{Duration, SystemTime};

use tracing::level_filters::LevelFilter;

use super::log_format::{Lines, LogFormat};
use crate::model::{Timestamp, printable};
use crate::telemetry::LOG_QUEUE;

/// The variable that sets the level if `--log-level` does not.
pub(super) const VARIABLE: &str = "DISPATCHER_LOG";

/// The variable is not a level.
#[derive(Debug, thiserror::Error)]
#[error("{VARIABLE} is not a level; write error, warn, info, debug or trace")]
pub(super) struct BadLevel;

/// How long the end of the daemon waits until the last lines are written.
const PATIENCE: Duration = Duration::from_secs(1);

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

/// Logging as it was started. Dropping it, also in a panic, writes the last lines.
#[derive(Debug)]
pub(super) struct Logging(());

impl Drop for Logging {
    fn drop(&mut self) {
        LOG_QUEUE.flush(PATIENCE);
    }
}

/// Ends the process at once, after the last lines.
pub(super) fn exit(code: u8) -> ! {
    LOG_QUEUE.flush(PATIENCE);
    std::process::exit(code.into())
}

/// Prints a line, or several, after the log lines that are already there.
pub(super) fn print(text: &str) {
    let text = format!("{text}\n");
    if LOG_QUEUE.offer(text.as_bytes()) {
        LOG_QUEUE.flush(PATIENCE);
    } else {
        // That the reader is gone is not a failure of the command.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }
}

/// Starts logging. The option takes precedence over the variable; the default is `info`.
///
/// # Errors
/// The variable is not a level.
pub(super) fn start(
    option: Option<Level>,
    variable: Option<&str>,
    format: Option<LogFormat>,
) -> Result<Logging, BadLevel> {
    let level = choose(option, variable)?;
    let terminal = io::stderr().is_terminal();
    let format = format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
    let lines = Lines { format, colours: terminal && colours_wanted() };
    let builder = tracing_subscriber::fmt().with_writer(|| Line).with_max_level(level);
    let builder = builder.log_internal_errors(false).event_format(lines);
    // Starting twice in one process (tests) keeps the first.
    if builder.try_init().is_ok() {
        let notice = move |count| notice(format, count);
        // Fails only without a thread, and then the daemon fails to start as well.
        let _ = LOG_QUEUE.start(io::stderr(), notice);
        std::panic::set_hook(Box::new(|panic| {
            // The store reports it as an error.
            if crate::store::embedded::is_panic_caught() {
                return;
            }
            let thread = std::thread::current();
            let name = thread.name().unwrap_or("unnamed");
            tracing::error!("thread {name} panicked: {}", printable(&panic.to_string()));
        }));
    }
    Ok(Logging(()))
}

/// Takes what the formatter writes, which is one line at a time.
struct Line;

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        LOG_QUEUE.offer(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// See <https://no-color.org>.
pub(super) fn colours_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The line that says how many were dropped.
fn notice(format: LogFormat, count: u64) -> String {
    let now = Timestamp::from(SystemTime::now());
    let text = format!("{count} log lines were dropped: standard error did not take them");
    if format == LogFormat::Text {
        return format!("{now}  WARN {text}\n");
    }
    let line =
        serde_json::json!({ "timestamp": now.to_string(), "level": "WARN", "message": text });
    format!("{line}\n")
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
