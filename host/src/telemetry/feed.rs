//! Broadcasts notes to all listeners, and holds the history, the alarms and the counts of refusals.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;

use super::{Alarms, History, Overload};

/// Most notes buffered for a slow listener.
pub const FEED_NOTES_MAX: usize = 1024;

/// Something that happened. Identifiers are texts, so that this layer does not depend on the model.
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
    /// The same, of a request that was read before there was a listener: the id of each event, and whether it is a
    /// duplicate.
    StoredUnheard { request: Arc<str>, events: Vec<(String, bool)> },
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
    /// It was received before, and is not delivered again.
    pub duplicate: bool,
    /// Names of the targets it is routed to.
    pub targets: Vec<Arc<str>>,
    /// The other targets, each with the reason.
    pub unrouted: Vec<(Arc<str>, String)>,
}

/// Where notes are sent; clones send to the same listeners.
#[derive(Clone, Debug)]
pub struct Feed {
    notes: broadcast::Sender<Note>,
    history: Arc<History>,
    alarms: Arc<Alarms>,
    overload: Arc<Overload>,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            notes: broadcast::Sender::new(FEED_NOTES_MAX),
            history: Arc::default(),
            alarms: Arc::default(),
            overload: Arc::default(),
        }
    }
}

impl Feed {
    /// Sends the note that `note` makes, if there is a listener.
    pub fn send(&self, note: impl FnOnce() -> Note) {
        if self.is_heard() {
            // Fails only when the last listener has left since.
            let _ = self.notes.send(note());
        }
    }

    /// What the daemon reports as events of its own.
    #[must_use]
    pub fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    /// What was refused for lack of room.
    #[must_use]
    pub fn overload(&self) -> &Overload {
        &self.overload
    }

    /// Whether there is a listener: gathering what a note needs may be expensive.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.notes.receiver_count() > 0
    }

    #[must_use]
    pub fn listen(&self) -> broadcast::Receiver<Note> {
        self.notes.subscribe()
    }

    /// What is remembered even without listeners.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }
}
