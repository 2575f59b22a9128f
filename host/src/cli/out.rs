//! Standard output and standard error of commands.
//!
//! A reader may leave at any time (`dispatcher check | head`), which is not a failure of the command. Any other
//! error of standard output is kept and becomes the command's failure at its end.

use std::io::{self, ErrorKind, Write as _};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::exit::Failure;
use super::logging;
use crate::model::printable;

/// The first error of standard output, unless its reader left.
static FAILED: Mutex<Option<io::Error>> = Mutex::new(None);

/// Prints a line, or several.
pub(super) fn line(text: &str) {
    // Reported by `finish`.
    let _ = is_read(text);
}

/// Prints a line; returns whether standard output still takes lines.
pub(super) fn is_read(text: &str) -> bool {
    keep(writeln!(io::stdout().lock(), "{text}"))
}

/// Prints a line from a thread of its own, so that a pipe that is full delays nothing. That it is not written
/// is logged.
pub(super) fn announce(text: String) -> io::Result<()> {
    let write = move || {
        let mut output = io::stdout().lock();
        if let Err(error) = writeln!(output, "{text}") {
            tracing::warn!("cannot write to standard output ({error}): {text}");
        }
    };
    thread::Builder::new().name("announce".to_owned()).spawn(write).map(|_| ())
}

/// Says, at the end of a command, whether all of its output was written.
pub(super) fn finish() -> Result<(), Failure> {
    // A line that waits for its end is written now.
    keep(io::stdout().lock().flush());
    match FAILED.lock().unwrap_or_else(PoisonError::into_inner).take() {
        None => Ok(()),
        Some(error) => Err(Failure::new(format!(
            "cannot write to standard output: {error}; the output is incomplete; changes that the \
             command made remain"
        ))),
    }
}

/// Keeps the first error for [`finish`]; returns whether there was none.
pub(super) fn keep(written: io::Result<()>) -> bool {
    let is_written = written.is_ok();
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
    {
        FAILED.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
    is_written
}

/// Prints to standard error.
pub(super) fn error(text: &str) {
    logging::print(text);
}

/// A table with aligned columns; the first row is the head. Cells are escaped for a terminal.
pub(super) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let shown: Vec<[String; N]> =
        rows.iter().map(|row| row.each_ref().map(|cell| printable(cell))).collect();
    let widths: [usize; N] = std::array::from_fn(|column| {
        shown.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
    });
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    shown.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Prints one line of JSON, which escapes control characters by itself.
pub(super) fn json(value: &impl serde::Serialize) -> Result<(), Failure> {
    line(&serde_json::to_string(value).map_err(Failure::new)?);
    Ok(())
}
