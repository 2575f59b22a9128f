//! The index while it works. An error of it, at a read or a write, ends its use here and nowhere else: it is
//! closed, and the thread that keeps it replaces it.

use std::sync::{Mutex, RwLock};

use super::rebuild::Rebuild;
use crate::embedded::index::rows::{Index, IndexError};
use crate::embedded::platform::locks::{lock, read_lock, write_lock};
use crate::embedded::platform::repeated::Repeated;

/// An index that failed, until the thread that keeps it takes it over.
pub(crate) struct Failed {
    pub index: Box<dyn Index>,
    pub error: IndexError,
}

#[derive(Default)]
struct Open {
    /// `None` once closed, and while it is rebuilt.
    index: Option<Box<dyn Index>>,
    /// How many there were before: a late error of an earlier one says nothing about this one.
    earlier: u64,
}

pub(crate) struct IndexSlot {
    open: RwLock<Open>,
    failed: Mutex<Option<Failed>>,
    failures: Mutex<Repeated>,
    /// Wakes the thread that keeps the index.
    wake: Mutex<Option<Box<dyn Fn() + Send>>>,
}

impl IndexSlot {
    pub(crate) fn new(index: Option<Box<dyn Index>>) -> Self {
        let open = RwLock::new(Open { index, earlier: 0 });
        Self { open, failed: Mutex::default(), failures: Mutex::default(), wake: Mutex::default() }
    }

    /// Puts a new index in the place of a failed one.
    pub(crate) fn put(&self, index: Box<dyn Index>) {
        let mut open = write_lock(&self.open);
        open.index = Some(index);
        open.earlier += 1;
    }

    /// Closes it, once nothing reads from it any more.
    pub(crate) fn close(&self) {
        let index = write_lock(&self.open).index.take();
        drop((index, self.take_failed()));
    }

    /// Asks the index; `None`: there is none now. After an error there is none, either.
    pub(super) fn ask<T>(
        &self,
        rebuild: &Rebuild,
        ask: impl FnOnce(&dyn Index) -> Result<T, IndexError>,
    ) -> Option<Result<T, IndexError>> {
        let (answer, earlier) = {
            let open = read_lock(&self.open);
            (ask(&**open.index.as_ref()?), open.earlier)
        };
        if let Err(error) = &answer {
            self.fail(earlier, error, rebuild);
        }
        Some(answer)
    }

    /// Closes the index for that reason, if there is one.
    pub(super) fn give_up(&self, error: &IndexError, rebuild: &Rebuild) {
        let earlier = read_lock(&self.open).earlier;
        self.fail(earlier, error, rebuild);
    }

    /// Closes the index that failed, unless it was closed before.
    fn fail(&self, earlier: u64, error: &IndexError, rebuild: &Rebuild) {
        let mut open = write_lock(&self.open);
        if open.earlier != earlier {
            return;
        }
        let Some(index) = open.index.take() else { return };
        *lock(&self.failed) = Some(Failed { index, error: error.clone() });
        rebuild.begin(&error.to_string());
        drop(open);
        if let Some(failures) = lock(&self.failures).again() {
            tracing::error!(%error, failures, "the index failed; it is being rebuilt from the log");
        }
        if let Some(wake) = &*lock(&self.wake) {
            wake();
        }
    }

    /// The index that failed last, if it was not taken before.
    pub(crate) fn take_failed(&self) -> Option<Failed> {
        lock(&self.failed).take()
    }

    pub(crate) fn is_open(&self) -> bool {
        read_lock(&self.open).index.is_some()
    }

    /// `wake` is called after a failure. `None`: the thread that keeps the index will end.
    pub(crate) fn wake_with(&self, wake: Option<Box<dyn Fn() + Send>>) {
        *lock(&self.wake) = wake;
    }
}

#[cfg(test)]
impl IndexSlot {
    /// While this lives, every question to the index waits.
    pub(crate) fn hold_up(&self) -> impl Drop + '_ {
        self.open.write().unwrap()
    }

    /// Replaces it without a word.
    pub(crate) fn swap(&self, index: Option<Box<dyn Index>>) {
        write_lock(&self.open).index = index;
    }
}
