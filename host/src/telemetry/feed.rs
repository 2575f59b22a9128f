//! A broadcast of notes to whoever listens, and the history that goes with it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;

use super::{Alarms, History};

/// Most notes kept for a slow listener.
pub const FEED_NOTES_MAX: usize = 1024;

/// One thing that happened. Identifiers are texts, so that this layer knows no model.
#[derive(Clone, Debug)]
pub enum Note {
    /// A request was verified and stored.
    Stored {
        request: Arc<str>,
        source: Arc<str>,
        verify: Duration,
        store: Duration,
        events: Vec<StoredNote>,
    },
    /// A request was refused.
    Refused { request: Arc<str>, source: Option<Arc<str>>, status: u16, reason: String },
    /// A target took an event.
    Delivered { target: Arc<str>, event: String, attempt: u32, took: Duration },
    /// An attempt failed.
    Failed { target: Arc<str>, event: String, attempt: u32, reason: String },
}

/// One event of a stored request.
#[derive(Clone, Debug)]
pub struct StoredNote {
    pub id: String,
    pub title: String,
    pub severity: &'static str,
    /// Names of the targets that get it.
    pub targets: Vec<Arc<str>>,
    /// Targets that do not get it, each with the reason.
    pub unrouted: Vec<(Arc<str>, String)>,
}

/// Where notes are sent; clones send to the same listeners.
#[derive(Clone, Debug)]
pub struct Feed {
    notes: broadcast::Sender<Note>,
    history: Arc<History>,
    alarms: Arc<Alarms>,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            notes: broadcast::Sender::new(FEED_NOTES_MAX),
            history: Arc::default(),
            alarms: Arc::default(),
        }
    }
}

impl Feed {
    /// Sends the note that `note` makes, if anybody listens.
    pub fn send(&self, note: impl FnOnce() -> Note) {
        if self.is_heard() {
            // The last listener may have left since: nobody misses the note then.
            let _ = self.notes.send(note());
        }
    }

    /// What people must be told of.
    #[must_use]
    pub fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    /// Whether anybody listens: what a note needs may be dear to gather.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.notes.receiver_count() > 0
    }

    #[must_use]
    pub fn listen(&self) -> broadcast::Receiver<Note> {
        self.notes.subscribe()
    }

    /// What is remembered although nobody listens.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }
}
