//! Panics of a library that are caught: they become errors, so the program's hook need not report them.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::embedded::limits::cut;

thread_local! {
    static CATCHES: Cell<usize> = const { Cell::new(0) };
}

/// Whether a panic of this thread becomes an error of the store, which then reports it.
#[must_use]
pub fn is_panic_caught() -> bool {
    CATCHES.get() > 0
}

/// Most bytes of the text of a panic that are shown.
const TEXT_BYTES_MAX: usize = 300;

/// Calls `ask`.
///
/// # Errors
/// It panicked: the first line of what it said.
pub(crate) fn caught<T>(ask: impl FnOnce() -> T) -> Result<T, String> {
    CATCHES.set(CATCHES.get() + 1);
    let done = catch_unwind(AssertUnwindSafe(ask));
    CATCHES.set(CATCHES.get() - 1);
    done.map_err(|panic| first_line(&*panic))
}

fn first_line(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    let line = text.and_then(|text| text.lines().next()).unwrap_or("a panic without a text");
    cut(line.to_owned(), TEXT_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_caught_only_within_the_call() {
        assert!(!is_panic_caught());
        assert_eq!(caught(|| caught(is_panic_caught)), Ok(Ok(true)));
        assert_eq!(caught(|| panic!("a planned one")), Err::<(), _>("a planned one".to_owned()));
        let lines = || panic!("{} one\nwith a second line", "a planned");
        assert_eq!(caught(lines), Err::<(), _>("a planned one".to_owned()));
        assert!(!is_panic_caught());
    }
}
