//! Asks before many deliveries are changed.

use std::io::{BufRead as _, IsTerminal as _};

use super::exit::Failure;
use super::out;

/// Asks at the terminal; without one, fails and says which option to add.
pub(super) fn confirm(what: &str, add: &str) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(format!("to {what}, {add}")));
    }
    out::error(&format!("{what}? [y/N]"));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(Failure::new("nothing was changed"))
}
