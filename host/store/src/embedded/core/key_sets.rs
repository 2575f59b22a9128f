//! How far the clock was set since keys were stored, for those who look keys up.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::embedded::platform::clock::KeySets;
use crate::embedded::platform::locks::lock;

pub(crate) struct PublishedSets {
    /// Usually not: then nothing is locked.
    any: AtomicBool,
    sets: Mutex<KeySets>,
}

impl PublishedSets {
    pub(crate) fn new(sets: KeySets) -> Self {
        Self { any: AtomicBool::new(sets != KeySets::default()), sets: Mutex::new(sets) }
    }

    /// Returns whether the clock was set since the last time, or an old setting does not matter any more.
    pub(crate) fn publish(&self, sets: KeySets) -> bool {
        let before = std::mem::replace(&mut *lock(&self.sets), sets);
        self.any.store(sets != KeySets::default(), Ordering::Release);
        before.0.map(|(_, by)| by) != sets.0.map(|(_, by)| by)
    }

    pub(crate) fn get(&self) -> KeySets {
        if self.any.load(Ordering::Acquire) { *lock(&self.sets) } else { KeySets::default() }
    }
}
