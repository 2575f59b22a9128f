//! Whether an index is being made, how far that is, and what was taken in meanwhile without it.
//!
//! It is one state, whether the index was not there when the store was opened or failed later: requests
//! are taken in, what was never tried is delivered, and all else waits. Repeated events are known as far
//! as the recent keys go; others are taken in, for a sender that is refused may never come again.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::Rebuilding;

#[derive(Default)]
struct Progress {
    /// Segments that were begun, and all there are.
    read: usize,
    segments: usize,
    /// The last failure.
    failed: Option<String>,
}

/// The index is there.
const WHOLE: u8 = 0;

/// It is not; what is written is read from the log later.
const READING: u8 = 1;

/// It has read nearly all; what is written from here on is handed to it.
const FOLLOWING: u8 = 2;

pub(crate) struct Rebuild {
    stage: AtomicU8,
    unchecked: AtomicU64,
    progress: Mutex<Progress>,
}

impl Rebuild {
    pub(crate) fn new(on: bool) -> Self {
        let stage = AtomicU8::new(if on { READING } else { WHOLE });
        Self { stage, unchecked: AtomicU64::new(0), progress: Mutex::default() }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.stage.load(Ordering::SeqCst) != WHOLE
    }

    /// Whether the rebuild still reads the log, so that nothing has to be handed over. Asked after that can be read from the log.
    pub(crate) fn is_reading(&self) -> bool {
        self.stage.load(Ordering::SeqCst) == READING
    }

    /// What is written from here on is handed over.
    pub(crate) fn follow(&self) {
        self.stage.store(FOLLOWING, Ordering::SeqCst);
    }

    /// The log is read from where the last try ended.
    pub(crate) fn read(&self) {
        self.stage.store(READING, Ordering::SeqCst);
    }

    /// There is no index from here on.
    pub(crate) fn begin(&self) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = Progress::default();
        self.unchecked.store(0, Ordering::Relaxed);
        self.stage.store(READING, Ordering::SeqCst);
    }

    /// The log is read from the start of the `read`-th segment.
    pub(crate) fn reads(&self, read: usize, segments: usize) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        *progress = Progress { read, segments, failed: progress.failed.take() };
    }

    pub(crate) fn failed(&self, reason: String) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.failed = Some(reason);
    }

    /// An event with a key came in, and could not be checked for repetition.
    pub(crate) fn unchecked(&self) {
        self.unchecked.fetch_add(1, Ordering::Relaxed);
    }

    /// The index is there; answers how many events may be repetitions.
    pub(crate) fn end(&self) -> u64 {
        self.stage.store(WHOLE, Ordering::SeqCst);
        self.unchecked.load(Ordering::Relaxed)
    }

    pub(crate) fn status(&self) -> Option<Rebuilding> {
        if !self.is_on() {
            return None;
        }
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let Progress { read, segments, failed } = &*progress;
        let mut text = "the index is being rebuilt from the log".to_owned();
        if *segments > 0 {
            text.push_str(&format!(" (segment {read} of {segments})"));
        }
        if let Some(failed) = failed {
            text.push_str(&format!("; the last try failed: {failed}"));
        }
        Some(Rebuilding { progress: text, unchecked: self.unchecked.load(Ordering::Relaxed) })
    }
}
