//! A broadcast of notes to whoever listens (`demo` today).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;

use super::Alarms;

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
pub struct Feed(broadcast::Sender<Note>, Arc<Alarms>);

impl Default for Feed {
    fn default() -> Self {
        Self(broadcast::Sender::new(FEED_NOTES_MAX), Arc::default())
    }
}

impl Feed {
    /// Sends the note that `note` makes, if anybody listens.
    pub fn send(&self, note: impl FnOnce() -> Note) {
        if self.is_heard() {
            // The last listener may have left since: nobody misses the note then.
            let _ = self.0.send(note());
        }
    }

    /// What people must be told of.
    #[must_use]
    pub fn alarms(&self) -> &Alarms {
        &self.1
    }

    /// Whether anybody listens: what a note needs may be dear to gather.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.0.receiver_count() > 0
    }

    #[must_use]
    pub fn listen(&self) -> broadcast::Receiver<Note> {
        self.0.subscribe()
    }
}
