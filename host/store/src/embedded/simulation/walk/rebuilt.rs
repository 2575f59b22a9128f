//! An index rebuilt from the log has the same rows as the live one.

use std::sync::Arc;

use crate::Queue;
use crate::embedded::core::machine::Machine;
use crate::embedded::index::rows::{DeadRow, Space};

use crate::embedded::simulation::hardware::memory_index::{MemoryHome, Rows};

use super::running::Running;
use super::walk::{Done, Walk};

impl Walk {
    fn dump(running: &Running, hours_from: u32) -> Rows {
        let rows = running.store.shared.with_index(|index| Ok(index.dump())).unwrap_or_default();
        let known = |space: &Space| !matches!(space, Space::Seen(hour) if *hour < hours_from);
        let is_range = |space, key: &[u8]| {
            let row = rows.get(&(space, key.to_vec()));
            row.and_then(|row| postcard::from_bytes::<DeadRow>(row).ok()).is_some_and(|r| r.to > 0)
        };
        // A mark whose range is not there any more says nothing: the row of its first event may have taken its place.
        let counts = |(space, key): &(Space, Vec<u8>)| {
            let is_mark = *space == Space::Range;
            !is_mark || is_range(Space::Dead, key) || is_range(Space::Dropped, key)
        };
        let is_kept = |row: &(&(Space, Vec<u8>), _)| known(&row.0.0) && counts(row.0);
        let kept = rows.iter().filter(is_kept);
        kept.map(|(key, row)| (key.clone(), row.clone())).collect()
    }

    /// Compares the index with one that is rebuilt from a copy of the log.
    pub(super) fn check_rebuild(&mut self) -> Done {
        self.counts.rebuilds += 1;
        let store = self.store();
        self.must("flush", store.flush())?;
        let hours_from = self.hours_known();
        let kept = Self::dump(self.running(), hours_from);
        let disk = self.disk.copy();
        let index = Arc::new(MemoryHome::default());
        let machine = Machine { disk: Arc::new(disk), index, alone: true, ..self.machine() };
        let other = Running::open(&self.settings, &machine)
            .map_err(|error| format!("a copy does not open: {error}"))?;
        let new = Self::dump(&other, hours_from);
        // The rebuilt index does not know keys and windows of removed segments.
        let kept: Rows = if self.start() == 0 {
            kept
        } else {
            let same =
                |key: &(Space, Vec<u8>)| !matches!(key.0, Space::Seen(_)) || new.contains_key(key);
            kept.into_iter().filter(|(key, _)| same(key)).collect()
        };
        if kept == new {
            self.check_cut()?;
            return self.check_flip();
        }
        let only = |one: &Rows, other: &Rows| -> Vec<_> {
            one.iter()
                .filter(|(key, row)| other.get(*key) != Some(*row))
                .map(|(k, v)| format!("{k:?} {v:?}"))
                .take(4)
                .collect()
        };
        Err(format!(
            "the rebuilt index differs: kept {:#?} new {:#?}",
            only(&kept, &new),
            only(&new, &kept)
        ))
    }
}
