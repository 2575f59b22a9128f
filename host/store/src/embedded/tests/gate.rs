//! An index that cannot be opened before its gate is open.

use std::io;
use std::sync::{Arc, Condvar, Mutex};

use crate::Queue;
use crate::embedded::Embedded;
use crate::embedded::core::machine::Machine;
use crate::embedded::index::fjall::FjallHome;
use crate::embedded::index::rows::{Index, IndexError, IndexHome};

use crate::embedded::tests::support::Folder;

/// What happens to a caller at the gate: it waits, passes, or gets an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Shut,
    Open,
    /// The first one, at the start, gets an error.
    Early,
}

type Shared = Arc<(Mutex<State>, Condvar)>;

/// Opens when it is dropped, so that a failing test ends.
pub(super) struct Gate(Shared);

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

impl Gate {
    pub(super) fn shut(&self) {
        *self.0.0.lock().unwrap() = State::Shut;
    }

    pub(super) fn open(&self) {
        *self.0.0.lock().unwrap() = State::Open;
        self.0.1.notify_all();
    }

    /// Opens it, and waits until the index is whole.
    pub(super) async fn pass(&self, store: &Embedded) {
        self.open();
        whole(store).await;
    }
}

pub(super) async fn whole(store: &Embedded) {
    crate::embedded::tests::full::until("the index is whole", || store.rebuilding().is_none())
        .await;
}

struct Gated(FjallHome, Shared);

impl IndexHome for Gated {
    fn open(&self) -> Result<Box<dyn Index>, IndexError> {
        let (state, opened) = &*self.1;
        let mut state = state.lock().unwrap();
        if *state == State::Early {
            *state = State::Shut;
            return Err(IndexError::Engine("too early".into()));
        }
        drop(opened.wait_while(state, |state| *state == State::Shut).unwrap());
        self.0.open()
    }

    fn remove(&self) -> io::Result<()> {
        self.0.remove()
    }
}

/// A store that starts with its log alone; its index is rebuilt once the gate is open.
pub(super) fn gated(folder: &Folder) -> (Arc<Embedded>, Gate) {
    let settings = folder.settings();
    let gate = Gate(Arc::new((State::Early.into(), Condvar::new())));
    let home = Gated(FjallHome(settings.index_folder()), gate.0.clone());
    let machine =
        Machine { index: Arc::new(home), read_at_open_bytes_max: 0, ..Machine::real(&settings) };
    (Embedded::open_on(&settings, &machine).unwrap(), gate)
}
