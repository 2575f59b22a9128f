//! A store whose index cannot be opened before a gate is open.

use std::sync::Arc;

use crate::Queue;
use crate::embedded::Embedded;
use crate::embedded::core::machine::Machine;
use crate::embedded::simulation::hardware::gate::Gate;

use crate::embedded::tests::support::{Folder, until};

/// Opens the gate, and waits until the index is whole.
pub(super) async fn pass(gate: &Gate, store: &Embedded) {
    gate.open();
    whole(store).await;
}

pub(super) async fn whole(store: &Embedded) {
    until("the index is whole", || store.rebuilding().is_none()).await;
}

/// A store that starts with its log alone; its index is rebuilt once the gate is open.
pub(super) fn gated(folder: &Folder) -> (Arc<Embedded>, Gate) {
    let machine = folder.machine();
    let (gate, index) = Gate::before(machine.index.clone());
    let machine = Machine { index, read_at_open_bytes_max: 0, ..machine };
    (Embedded::open_on(&folder.settings(), &machine).unwrap(), gate)
}
