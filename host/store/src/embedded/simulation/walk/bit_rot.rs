//! A flipped bit in the durable part of the log: the start reports the place, or nothing is missing.

use std::sync::Arc;

use crate::embedded::OpenError;
use crate::embedded::core::machine::Machine;
use crate::embedded::log::scanner::{CHUNK_BYTES, Scanner, Step};
use crate::embedded::platform::locks::read_lock;

use super::running::Running;
use super::walk::{Done, Walk};
use crate::embedded::simulation::hardware::memory_index::MemoryHome;

impl Walk {
    /// Up to where a frame says that those before it are durable. Damage behind that place looks like a
    /// torn end.
    fn proven(&self) -> Done<u64> {
        let shared = &self.running().store.shared;
        let segments = read_lock(&shared.reader.segments).clone();
        let (mut proven, mut at) = (0, 0);
        let failed = |error: std::io::Error| format!("the log cannot be read: {error}");
        while let Some(stretch) = segments.stretch(at) {
            proven = proven.max(stretch.segment.first());
            let file = shared.reader.disk.open(&shared.reader.path(&stretch)).map_err(failed)?;
            let mut scanner = Scanner::new(&*file, stretch, CHUNK_BYTES.min(64 << 10));
            while let Step::Frame(header, _) = scanner.step().map_err(failed)? {
                proven = proven.max(header.durable_lsn);
            }
            at = stretch.to.max(at + 1);
        }
        Ok(proven)
    }

    /// Damages a copy of the disk and starts on it without an index.
    pub(super) fn check_flip(&mut self) -> Done {
        if !self.plan.bit_rot || self.random.bool() {
            return Ok(());
        }
        let proven = self.proven()?;
        let from = self.start();
        let shared = self.running().store.shared.clone();
        let at = self.random.u64(from..proven.max(from + 1));
        let Some(stretch) = read_lock(&shared.reader.segments).stretch(at) else { return Ok(()) };
        if at < stretch.from || at >= stretch.to {
            return Ok(());
        }
        let before = self.scan()?;
        let (disk, bit) = (self.disk.copy(), self.random.u8(..8));
        let path = shared.reader.path(&stretch);
        let offset = at - stretch.segment.base;
        disk.flip(&path, usize::try_from(offset).unwrap(), bit);
        let index = Arc::new(MemoryHome::default());
        let machine = Machine { disk: Arc::new(disk), index, alone: true, ..self.machine() };
        self.note(format!("bit {bit} of byte {offset} of {} flips", path.display()));
        let opened = match Running::open(&self.settings, &machine) {
            Err(OpenError::Corrupt { segment, offset: named, .. })
                if segment == path && named <= offset =>
            {
                return Ok(());
            }
            Err(error) => return Err(format!("the error does not name the damage: {error}")),
            Ok(opened) => opened,
        };
        let sound = self.running.replace(opened);
        let after = self.scan();
        self.running = sound;
        let ids = |list: &[super::log::Logged]| -> Vec<_> {
            list.iter().map(|logged| (logged.event.id, logged.event.data.clone())).collect()
        };
        if ids(&before) == ids(&after?) { Ok(()) } else { Err("damage goes unnoticed".into()) }
    }
}
