//! What a search for stored events found.

use serde::{Deserialize, Serialize};

use crate::model::counted;

/// `GET /events`, the newest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventPage {
    pub events: Vec<EventLine>,
    /// The next page is of what was stored before that event (`before=`). `None`: nothing is left.
    pub next: Option<String>,
    /// The page ends because it read as much of the log as a page may.
    pub is_cut: bool,
    /// When the oldest event that was looked at was received.
    pub back_to: Option<String>,
    /// Places of the log that cannot be read.
    pub unreadable: u64,
}

/// That places of the log cannot be read, for people.
#[must_use]
pub fn unreadable_places(count: u64) -> String {
    let places = counted(count, "place", "places");
    format!("{places} of the log cannot be read; `dispatcher store check` says more")
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventLine {
    pub id: String,
    pub received: String,
    pub source: String,
    pub severity: String,
    pub event_type: String,
    pub title: String,
    /// Those that it was routed to when it was received.
    pub targets: Vec<String>,
}
