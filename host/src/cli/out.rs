//! Standard output, which may be closed at any time (`dispatcher check | head`).

use std::io::Write as _;

use super::exit::Failure;
use crate::model::printable;

/// Prints a line, or several.
pub(super) fn line(text: &str) {
    // That the reader is gone is not a failure of the command.
    let _ = is_read(text);
}

/// Prints a line; returns whether standard output is still open.
pub(super) fn is_read(text: &str) -> bool {
    writeln!(std::io::stdout().lock(), "{text}").is_ok()
}

/// Prints to standard error.
pub(super) fn error(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
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
