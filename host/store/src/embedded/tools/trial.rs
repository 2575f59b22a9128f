//! Tries whether the daemon would start with a folder, without changing anything: it opens the store on a disk
//! that keeps all changes in memory, with a copy of the index.

use std::path::Path;
use std::sync::Arc;

use tracing::subscriber::NoSubscriber;

use crate::embedded::core::machine::Machine;
use crate::embedded::error::OpenError;
use crate::embedded::index::fjall_home::FjallHome;
use crate::embedded::platform::disk::Files;
use crate::embedded::recovery::open::open;
use crate::embedded::settings::Settings;
use crate::embedded::tools::dry_disk::DryDisk;
use crate::embedded::tools::index_view::Shadow;

/// What a start would say. `shadow` is a copy of the index, which the trial changes.
pub(super) fn trial(directory: &Path, shadow: &Shadow) -> Result<(), OpenError> {
    let settings = Settings::new(directory);
    let index = FjallHome { disk: Arc::new(Files), folder: shadow.index(), aside: shadow.aside() };
    let machine = Machine {
        disk: Arc::new(DryDisk::default()),
        index: Arc::new(index),
        // The caller knows that no daemon uses the folder.
        alone: true,
        ..Machine::real(&settings)
    };
    // What it would log does not happen.
    tracing::subscriber::with_default(NoSubscriber::default(), || {
        open(&settings, &machine).map(drop)
    })
}
