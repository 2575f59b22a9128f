//! What happened to one event.

use serde::{Deserialize, Serialize};

use super::Refusal;

/// `GET /explain`: the story of an event, or why a request was refused.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Explained {
    Event(Box<EventStory>),
    Refusal(Refusal),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventStory {
    pub id: String,
    pub received: String,
    pub source: String,
    pub event_type: String,
    pub severity: String,
    pub title: String,
    pub verified: String,
    pub scheme: String,
    /// Which of the source's secrets matched, from 1.
    pub secret: u32,
    pub targets: Vec<TargetStory>,
    /// Only on request; cut to [`DATA_BYTES_MAX`](crate::admin::DATA_BYTES_MAX).
    pub data: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TargetStory {
    pub target: String,
    pub fate: FateKind,
    /// `fate`, with times and reason, for people.
    pub text: String,
    /// Failed attempts that are remembered.
    pub attempts: Vec<AttemptStory>,
    pub receipt: Option<String>,
    pub receipt_fields: Vec<(String, String)>,
}

/// What became of an event at one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FateKind {
    /// For its first attempt.
    Waiting,
    /// After a failed attempt.
    Retrying,
    Delivered,
    /// Given up.
    Dead,
    /// By a person.
    Dropped,
    NotRouted,
}

impl FateKind {
    pub const ALL: [Self; 6] = [
        Self::Waiting,
        Self::Retrying,
        Self::Delivered,
        Self::Dead,
        Self::Dropped,
        Self::NotRouted,
    ];

    /// The word of the command line and of a query.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Retrying => "retrying",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Dropped => "dropped",
            Self::NotRouted => "not-routed",
        }
    }

    /// The kind that `word` names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AttemptStory {
    pub number: u32,
    pub time: String,
    /// `delivered`, or why it failed.
    pub verdict: String,
    pub reason: String,
    /// It was not counted: the next one has the same number.
    #[serde(default)]
    pub uncounted: bool,
    /// The first one after a replay, which counts from one again.
    #[serde(default)]
    pub replayed: bool,
}
