//! A newest segment that was cut, or is gone: the start refuses if the file had its whole length before, if the one before
//! it says that it was there, or if the index has read more than is left, and only then.

use std::path::Path;
use std::sync::Arc;

use crate::embedded::OpenError;
use crate::embedded::core::machine::Machine;
use crate::embedded::format::frame::{ALIGN, HEADER_BYTES};
use crate::embedded::index::queries::Queries as _;
use crate::embedded::log::ending::ended_at;
use crate::embedded::log::segments::Segment;
use crate::embedded::platform::disk::Disk as _;
use crate::embedded::platform::locks::read_lock;
use crate::embedded::simulation::hardware::disk::SimDisk;
use crate::embedded::simulation::hardware::index_place::IndexPlace;

use super::running::Running;
use super::walk::{Done, Walk};

/// Whether the segment before the newest says that it has ended.
fn is_followed(disk: &SimDisk, folder: &Path, list: &[Segment]) -> bool {
    let [.., before, _] = list else { return false };
    let file = disk.open(&before.header.path(folder));
    file.and_then(|file| ended_at(&*file, &before.header)).is_ok_and(|end| end.is_some())
}

impl Walk {
    /// Cuts a copy of the log and starts on it with a copy of the index.
    pub(super) fn check_cut(&mut self) -> Done {
        let IndexPlace::Memory(home) = &self.index_place else { return Ok(()) };
        // Its own chance: the steps of a seed stay the same.
        let mut random = fastrand::Rng::with_seed(self.plan.seed ^ (self.step << 32));
        let (index, shared) = (home.copy(), self.running().store.shared.clone());
        let read_to = shared.with_index(|index| index.stamp()).ok().flatten();
        let read_to = read_to.map_or(0, |stamp| stamp.end);
        let segments = read_lock(&shared.reader.segments).clone();
        let Some(newest) = segments.list.last().map(|segment| segment.header) else {
            return Ok(());
        };
        let failed = |error: std::io::Error| format!("a copy cannot be cut: {error}");
        let (disk, path) = (self.disk.copy(), newest.path(&shared.reader.folder));
        let removed = random.u8(..4) == 0;
        let followed = removed && is_followed(&disk, &shared.reader.folder, &segments.list);
        let end = if removed {
            disk.remove(&path).map_err(failed)?;
            newest.base
        } else {
            let at = random.u64(newest.first()..segments.tail.max(newest.first() + 1));
            let file = disk.open(&path).map_err(failed)?;
            file.truncate(at - newest.base).map_err(failed)?;
            at
        };
        let is_room = newest.limit() >= segments.tail + HEADER_BYTES as u64;
        let proves = !removed && newest.flags.full_length && is_room;
        let machine =
            Machine { disk: Arc::new(disk), index: Arc::new(index), alone: true, ..self.machine() };
        if (end + 1..end + ALIGN).contains(&read_to) {
            // Whether the cut took more than the zeros behind the last record is not known here.
            return Ok(());
        }
        match (Running::open(&self.settings, &machine), read_to > end) {
            (Err(OpenError::NoEnd { .. }), false) if followed => Ok(()),
            (Ok(_), false) if followed => Err("a newest file that is gone goes unnoticed".into()),
            (Err(OpenError::Cut { .. }), false) if proves => Ok(()),
            (Ok(_), false) if proves => Err(format!("a file cut at {end} goes unnoticed")),
            (Err(OpenError::Lost { .. } | OpenError::NoLog { .. }), true) | (Ok(_), false) => {
                Ok(())
            }
            // The first record of a segment was durable before the file had its name.
            (Err(OpenError::Corrupt { segment, .. }), _) if segment == path => Ok(()),
            (Err(error), _) => Err(format!("cut at {end}, read to {read_to}: {error}")),
            (Ok(_), true) => Err(format!("cut at {end}, read to {read_to}: it goes unnoticed")),
        }
    }
}
