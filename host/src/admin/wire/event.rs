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
    Waiting,
    Retrying,
    Delivered,
    Dead,
    /// A dead letter that a person dropped.
    Dropped,
    NotRouted,
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
