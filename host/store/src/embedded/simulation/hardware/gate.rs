//! An index that cannot be opened before its gate is open.

use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, ThreadId};

use crate::embedded::index::rows::{Index, IndexError, IndexHome};
use crate::embedded::platform::locks::lock;

/// What happens to a caller at the gate: it waits or passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Shut,
    Open,
}

type Shared = Arc<(Mutex<State>, Condvar)>;

/// Opens when it is dropped, so that a failing test ends.
pub(crate) struct Gate(Shared);

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

impl Gate {
    /// A gate before the index, and the index behind it. While it is shut, this thread gets an error instead of
    /// waiting, so that a store starts with its log alone.
    pub(crate) fn before(home: Arc<dyn IndexHome>) -> (Self, Arc<dyn IndexHome>) {
        let gate = Self(Arc::new((State::Shut.into(), Condvar::new())));
        let home = Gated(home, gate.0.clone(), thread::current().id());
        (gate, Arc::new(home))
    }

    pub(crate) fn shut(&self) {
        *lock(&self.0.0) = State::Shut;
    }

    pub(crate) fn open(&self) {
        *lock(&self.0.0) = State::Open;
        self.0.1.notify_all();
    }
}

struct Gated(Arc<dyn IndexHome>, Shared, ThreadId);

impl IndexHome for Gated {
    fn open(&self) -> Result<Box<dyn Index>, IndexError> {
        let (state, opened) = &*self.1;
        let state = state.lock().unwrap();
        if *state == State::Shut && thread::current().id() == self.2 {
            return Err(IndexError::Engine("too early".into()));
        }
        drop(opened.wait_while(state, |state| *state == State::Shut).unwrap());
        self.0.open()
    }

    fn remove(&self) -> io::Result<()> {
        self.0.remove()
    }
}
