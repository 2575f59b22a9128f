//! Standard output and standard error of commands.
//!
//! A reader may leave at any time (`dispatcher check | head`), which is not a failure of the command. Any other
//! error of standard output is kept and becomes the command's failure at its end.

use std::io::{self, ErrorKind, Write as _};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::exit::Failure;
use super::logging;
use super::terminal::{self, padded, width};
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
    table_in(rows, terminal::columns())
}

/// The same. If a row is wider than the terminal, its last cell goes on over several lines.
fn table_in<const N: usize>(rows: &[[String; N]], columns: Option<usize>) -> String {
    let shown: Vec<[String; N]> =
        rows.iter().map(|row| row.each_ref().map(|cell| printable(cell))).collect();
    let widths: [usize; N] = std::array::from_fn(|column| {
        shown.iter().map(|row| width(&row[column])).max().unwrap_or(0)
    });
    let before = widths.iter().take(N - 1).map(|width| width + GAP.len()).sum::<usize>();
    let line = |row: &[String; N]| {
        let mut line: String =
            row.iter().zip(widths).take(N - 1).map(|(cell, w)| padded(cell, w) + GAP).collect();
        let last = row.last().map_or("", String::as_str);
        let room = columns.map_or(usize::MAX, |columns| columns.saturating_sub(before));
        if width(last) <= room {
            line.push_str(last);
        } else {
            let (indent, room) = match room >= ROOM_MIN {
                true => (before, room),
                false => (INDENT, columns.unwrap_or(usize::MAX).saturating_sub(INDENT).max(1)),
            };
            let parts = wrapped(last, room);
            let break_ = format!("\n{}", " ".repeat(indent));
            if indent == INDENT {
                line = format!("{}{break_}", line.trim_end());
            }
            line.push_str(&parts.join(&break_));
        }
        line.trim_end().to_owned()
    };
    shown.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Between two columns.
const GAP: &str = "  ";
/// The last cell continues below itself if it has so many columns, else below the whole row, indented.
const ROOM_MIN: usize = 24;
const INDENT: usize = 4;

/// The text in lines of at most so many columns, broken at spaces; a longer word is a line of its own.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines
            .last_mut()
            .filter(|line| line.is_empty() || width(line) + 1 + width(word) <= columns);
        match line {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => line.push_str(&format!(" {word}")),
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Prints one line of JSON, which escapes control characters by itself.
pub(super) fn json(value: &impl serde::Serialize) -> Result<(), Failure> {
    line(&serde_json::to_string(value).map_err(Failure::new)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_is_too_wide_goes_on_in_its_last_cell() {
        let rows = [
            ["TARGET", "PENDING", "STATE"],
            ["sms", "0", "works"],
            ["hook", "17", "failing: answered 503 for 20 min; last tried at 12:45"],
        ]
        .map(|row| row.map(str::to_owned));
        assert_eq!(
            table_in(&rows, Some(44)),
            "TARGET  PENDING  STATE\n\
             sms     0        works\n\
             hook    17       failing: answered 503 for\n                 20 min; last tried at 12:45"
        );
        assert_eq!(
            table_in(&rows, Some(30)).lines().skip(2).collect::<Vec<_>>(),
            [
                "hook    17",
                "    failing: answered 503 for",
                "    20 min; last tried at",
                "    12:45"
            ]
        );
        assert!(table_in(&rows, None).lines().nth(2).unwrap().ends_with("at 12:45"));
        assert_eq!(wrapped("a verylongword b", 5), ["a", "verylongword", "b"]);
    }
}
