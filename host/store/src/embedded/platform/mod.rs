//! What the store needs of the machine: disk, files, clocks, locks, and a quiet way to report what fails again and again.

pub(super) mod caught;
pub(super) mod clock;
pub(super) mod clock_merge;
pub(super) mod clock_trust;
pub(super) mod disk;
pub(super) mod lock_file;
pub(super) mod locks;
pub(super) mod prewrite;
pub(super) mod private;
pub(super) mod regular;
pub(super) mod repeated;
