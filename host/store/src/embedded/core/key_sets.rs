//! How far the clock was set since keys were stored, for those who look keys up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::embedded::platform::clock::KeySets;
use crate::embedded::platform::locks::lock;

pub(crate) struct PublishedSets {
    /// Usually not: then nothing is locked.
    any: AtomicBool,
    sets: Mutex<Arc<KeySets>>,
}

impl PublishedSets {
    pub(crate) fn new(sets: KeySets) -> Self {
        Self { any: AtomicBool::new(!sets.0.is_empty()), sets: Mutex::new(Arc::new(sets)) }
    }

    /// Returns whether the clock was set since the last time, or an old setting does not matter any more.
    pub(crate) fn publish(&self, sets: KeySets) -> bool {
        let mut published = lock(&self.sets);
        let is_news = **published != sets;
        if is_news {
            self.any.store(!sets.0.is_empty(), Ordering::Release);
            *published = Arc::new(sets);
        }
        is_news
    }

    pub(crate) fn get(&self) -> Option<Arc<KeySets>> {
        self.any.load(Ordering::Acquire).then(|| lock(&self.sets).clone())
    }
}
