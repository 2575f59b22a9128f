//! What a search for stored events found.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::counted;

/// Most files of several pages that are named.
const FILES_MAX: usize = 3;

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
    #[serde(flatten)]
    pub unread: Unread,
}

/// What a search could not read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    /// Places of the log.
    #[serde(rename = "unreadable")]
    pub places: u64,
    /// Why the files of some of them cannot be read.
    #[serde(rename = "unreadable_files", default)]
    pub files: Vec<String>,
    /// Why relocated events are left out, if they are.
    #[serde(default)]
    pub left_out: Option<String>,
}

impl Unread {
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// The same of another page.
    pub fn add(&mut self, other: Self) {
        self.places += other.places;
        self.left_out = other.left_out.or(self.left_out.take());
        for file in other.files {
            if self.files.len() < FILES_MAX && !self.files.contains(&file) {
                self.files.push(file);
            }
        }
    }
}

/// For people.
impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = counted(self.places, "place", "places");
        if self.places > 0 {
            write!(f, "{places} of the log cannot be read")?;
            match self.files.is_empty() {
                true => f.write_str("; `dispatcher store check` says more")?,
                false => write!(f, ": {}", self.files.join("; "))?,
            }
        }
        if let Some(why) = &self.left_out {
            let and = if self.places > 0 { "; " } else { "" };
            write!(
                f,
                "{and}events that were kept when their part of the log was removed are left out: {why}"
            )?;
        }
        Ok(())
    }
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
