//! Standard output, which may be closed at any time (`dispatcher check | head`): then nobody reads on.

use std::io::Write as _;

/// Prints a line, or several.
pub(super) fn line(text: &str) {
    // A reader that went away is no failure of the command.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Prints to standard error.
pub(super) fn error(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
