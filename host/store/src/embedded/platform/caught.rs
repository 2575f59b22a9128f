//! Panics of a library that are caught: they become errors, so the program's hook need not report them.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static CATCHES: Cell<usize> = const { Cell::new(0) };
}

/// Whether a panic of this thread becomes an error of the store, which then reports it.
#[must_use]
pub fn is_panic_caught() -> bool {
    CATCHES.get() > 0
}

/// Calls `ask`; `None` if it panics.
pub(crate) fn caught<T>(ask: impl FnOnce() -> T) -> Option<T> {
    CATCHES.set(CATCHES.get() + 1);
    let done = catch_unwind(AssertUnwindSafe(ask));
    CATCHES.set(CATCHES.get() - 1);
    done.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_caught_only_within_the_call() {
        assert!(!is_panic_caught());
        assert_eq!(caught(|| caught(is_panic_caught)), Some(Some(true)));
        assert_eq!(caught(|| panic!("a planned one")), None::<()>);
        assert!(!is_panic_caught());
    }
}
