//! One simulated file: what a program sees of it, and what of that is on the medium.

use std::collections::BTreeSet;
use std::ops::Range;

/// A disk writes a sector whole or not at all.
pub(super) const SECTOR: usize = 512;

#[derive(Clone, Debug, Default)]
pub(super) struct Sectors {
    /// What a power cut leaves.
    pub medium: Vec<u8>,
    /// What reads return.
    pub cache: Vec<u8>,
    /// Sectors that the next sync writes.
    dirty: BTreeSet<usize>,
    /// What lies behind was never written: writing there needs space.
    pub allocated: usize,
}

impl Sectors {
    pub(super) fn write(&mut self, bytes: &[u8], at: usize) {
        if bytes.is_empty() {
            return;
        }
        let end = at + bytes.len();
        self.allocated = self.allocated.max(end);
        if self.cache.len() < end {
            // A hole before the bytes, and the rest of its last sector, are new as well.
            self.dirty.extend(self.cache.len() / SECTOR..at / SECTOR);
            self.cache.resize(end, 0);
        }
        self.cache[at..end].copy_from_slice(bytes);
        self.dirty.extend(at / SECTOR..=(end - 1) / SECTOR);
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.cache.resize(len, 0);
        self.allocated = self.allocated.min(len);
        self.dirty = self.dirty.range(..len.div_ceil(SECTOR)).copied().collect();
    }

    fn range(&self, sector: usize) -> Range<usize> {
        sector * SECTOR..((sector + 1) * SECTOR).min(self.cache.len())
    }

    /// Writes a sector to the medium.
    fn store(&mut self, sector: usize) {
        let range = self.range(sector);
        if range.start >= range.end {
            return;
        }
        if self.medium.len() < range.end {
            self.medium.resize(range.end, 0);
        }
        self.medium[range.clone()].copy_from_slice(&self.cache[range]);
    }

    pub(super) fn sync(&mut self) {
        for sector in std::mem::take(&mut self.dirty) {
            self.store(sector);
        }
        self.medium.resize(self.cache.len(), 0);
    }

    /// The medium takes only a part, but all of it counts as clean afterwards, as on Linux.
    pub(super) fn fail_sync(&mut self, random: &mut fastrand::Rng) {
        for sector in std::mem::take(&mut self.dirty) {
            match random.u8(..3) {
                0 => self.store(sector),
                // It stays in memory only.
                1 => {}
                // Memory loses it too.
                _ => {
                    for at in self.range(sector) {
                        self.cache[at] = self.medium.get(at).copied().unwrap_or(0);
                    }
                }
            }
        }
        if random.bool() {
            self.medium.resize(self.cache.len(), 0);
        }
    }

    /// Keeps any part of what was not synced: any of the dirty sectors, and the old size or the new one
    /// or one between them.
    pub(super) fn cut_power(&mut self, random: &mut fastrand::Rng) {
        let old = self.medium.len();
        let len = match random.u8(..4) {
            0 => old,
            1 => random.usize(old.min(self.cache.len())..=old.max(self.cache.len())),
            _ => self.cache.len(),
        };
        let dirty: Vec<usize> = std::mem::take(&mut self.dirty).into_iter().collect();
        let mode = random.u8(..5);
        let first = random.usize(..=dirty.len());
        for (i, sector) in dirty.into_iter().enumerate() {
            let stored = match mode {
                0 => false,
                1 => true,
                2 => i < first,
                3 => i >= first,
                _ => random.bool(),
            };
            if stored {
                self.store(sector);
            }
        }
        self.medium.resize(len, 0);
        self.cache.clone_from(&self.medium);
        self.allocated = self.allocated.min(len);
    }

    /// Flips a bit on the medium and in memory.
    pub(super) fn flip(&mut self, at: usize, bit: u8) {
        for bytes in [&mut self.medium, &mut self.cache] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
        }
    }
}
