//! A progress bar on standard error; nothing where that is not a terminal.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

const WIDTH_CHARS: usize = 30;
/// Shortest time before the bar is drawn, and between two redraws.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Bar {
    what: &'static str,
    shown: bool,
    drawn_at: Option<Instant>,
}

impl Bar {
    pub(super) fn new(what: &'static str) -> Self {
        let shown = std::io::stderr().is_terminal();
        Self { what, shown, drawn_at: shown.then(Instant::now) }
    }

    pub(super) fn show(&mut self, done: u64, all: u64) {
        if self.drawn_at.is_some_and(|at| at.elapsed() >= PAUSE) {
            self.drawn_at = Some(Instant::now());
            // Fails only when the terminal is closed.
            let _ = write!(std::io::stderr(), "\r{}", line(self.what, done, all));
        }
    }
}

impl Drop for Bar {
    /// Erases the bar.
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\u{1b}[2K");
        }
    }
}

fn line(what: &str, done: u64, all: u64) -> String {
    let part = |of: u64| u128::from(done.min(all)) * u128::from(of) / u128::from(all.max(1));
    let full = usize::try_from(part(WIDTH_CHARS as u64)).unwrap_or(WIDTH_CHARS);
    let (bar, rest) = ("#".repeat(full), ".".repeat(WIDTH_CHARS - full));
    format!("{what} [{bar}{rest}] {:>3} % of {} MiB", part(100), all >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_grows_with_the_work_done() {
        assert!(line("reading", 0, 0).contains("[..............................]   0 %"));
        assert!(line("reading", 1, 2).contains("[###############...............]  50 %"));
        assert!(line("reading", 9, 2 << 20).ends_with("0 % of 2 MiB"));
        assert!(line("reading", u64::MAX, u64::MAX).contains("100 %"));
    }
}
