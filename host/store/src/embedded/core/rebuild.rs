//! Whether the index is being rebuilt, its progress, and which events could not be checked meanwhile.
//!
//! The state is the same whether the index was missing at the start or failed later: requests are
//! accepted, new deliveries are made, and everything else waits. Only recent repetitions are recognised;
//! others are accepted, because a refused sender might never try again.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::Rebuilding;

#[derive(Default)]
struct Progress {
    /// Segments read so far, and all.
    read: usize,
    segments: usize,
    /// Why the index is rebuilt, if it failed.
    why: Option<String>,
    /// The last failure of the rebuild.
    failed: Option<String>,
}

/// The index works.
const WHOLE: u8 = 0;

/// The rebuild reads the log; it will also read what is written meanwhile.
const READING: u8 = 1;

/// The rebuild has read nearly all; new entries are sent to it.
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

    /// Whether the rebuild still reads the log, so that new entries need not be sent to it. Ask only after
    /// they can be read from the log.
    pub(crate) fn is_reading(&self) -> bool {
        self.stage.load(Ordering::SeqCst) == READING
    }

    /// New entries are sent to the rebuild from here on.
    pub(crate) fn follow(&self) {
        self.stage.store(FOLLOWING, Ordering::SeqCst);
    }

    /// Another attempt reads the log on from where the last one ended.
    pub(crate) fn read(&self) {
        self.stage.store(READING, Ordering::SeqCst);
    }

    /// The index is missing from here on, because it failed.
    pub(crate) fn begin(&self, why: &str) {
        let why = Some(why.to_owned());
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) =
            Progress { why, ..Progress::default() };
        self.unchecked.store(0, Ordering::Relaxed);
        self.stage.store(READING, Ordering::SeqCst);
    }

    /// The rebuild has reached the `read`-th segment.
    pub(crate) fn reads(&self, read: usize, segments: usize) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        (progress.read, progress.segments) = (read, segments);
    }

    pub(crate) fn failed(&self, reason: String) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.failed = Some(reason);
    }

    /// Counts an event whose repetition key could not be checked.
    pub(crate) fn unchecked(&self) {
        self.unchecked.fetch_add(1, Ordering::Relaxed);
    }

    /// The index works again; returns how many events may be repetitions.
    pub(crate) fn end(&self) -> u64 {
        self.stage.store(WHOLE, Ordering::SeqCst);
        self.unchecked.load(Ordering::Relaxed)
    }

    pub(crate) fn status(&self) -> Option<Rebuilding> {
        if !self.is_on() {
            return None;
        }
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let Progress { read, segments, why, failed } = &*progress;
        let mut text = "the index is being rebuilt from the log".to_owned();
        if *segments > 0 {
            text.push_str(&format!(" (segment {read} of {segments})"));
        }
        if let Some(why) = why {
            text.push_str(&format!("; it failed: {why}"));
        }
        if let Some(failed) = failed {
            text.push_str(&format!("; the last try failed: {failed}"));
        }
        Some(Rebuilding { progress: text, unchecked: self.unchecked.load(Ordering::Relaxed) })
    }
}
