//! What goes over the admin socket, as JSON. The command line reads the same types.

use serde::{Deserialize, Serialize};

/// `GET /status`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// One sentence.
    pub state: String,
    /// Whether nothing needs a person.
    pub well: bool,
    pub sources: Vec<SourceStatus>,
    pub targets: Vec<TargetStatus>,
    /// How the last reload went; none since the start.
    #[serde(default)]
    pub reload: Option<Reload>,
}

/// `POST /reload`, and how the last one went.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Reload {
    pub time: String,
    /// How many problems there are; `None`: the configuration is in force.
    pub refused: Option<String>,
    /// Every problem with its place, over several lines.
    pub problems: String,
    pub started: Vec<String>,
    pub exchanged: Vec<String>,
    pub ended: Vec<String>,
    /// Keys that need a restart.
    pub restart: Vec<String>,
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SourceStatus {
    pub name: String,
    /// What the sender is given.
    pub address: String,
    /// When something last came, since the start.
    pub last_event: Option<String>,
    /// Refusals that are remembered.
    pub refused: usize,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TargetStatus {
    pub name: String,
    /// In words.
    pub state: String,
    /// `works`, `disabled`, `paused`, `broken` or `failing`.
    pub kind: String,
    /// All that waits, retries included.
    pub pending: u64,
    pub retrying: u64,
    pub dead: u64,
    pub last_delivery: Option<String>,
}

/// `GET /refused`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refusal {
    pub time: String,
    pub source: String,
    pub from: String,
    pub status: u16,
    pub reason: String,
    pub request: String,
}

/// `GET /explain`: an event's story, or why a request was refused.
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
    /// Only when asked for; cut.
    pub data: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TargetStory {
    pub target: String,
    /// `waiting`, `retrying`, `delivered`, `dead`, `dropped` or `not-routed`.
    pub fate: String,
    /// The whole of it, in words.
    pub text: String,
    /// Failed attempts that are remembered.
    pub attempts: Vec<AttemptStory>,
    pub receipt: Option<String>,
    pub receipt_fields: Vec<(String, String)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AttemptStory {
    pub number: u32,
    pub time: String,
    pub verdict: String,
    pub reason: String,
}

/// `GET /dead`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeadPage {
    pub letters: Vec<Letter>,
    /// How many there are in all.
    pub total: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Letter {
    pub target: String,
    /// The first event of a run.
    pub event: String,
    pub count: u64,
    pub attempts: u32,
    pub time: String,
    pub reason: String,
}

/// `POST /dead/replay` and `POST /dead/drop`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chosen {
    /// `None`: every target.
    pub target: Option<String>,
    /// Ids of events.
    pub events: Vec<String>,
    /// Every dead letter instead.
    pub all: bool,
    /// Only count.
    pub dry: bool,
}

/// `POST /pause`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    pub target: String,
    pub reason: String,
}

/// `POST /resume`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    pub target: String,
    /// What was received before becomes dead letters.
    pub since_ms: Option<u64>,
    /// Only count.
    pub dry: bool,
}

/// How many deliveries an act is about.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Count {
    pub count: u64,
    /// Of a resume: dead letters it made.
    pub skipped: u64,
}

/// Any refusal of a request on the socket.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Wrong {
    pub error: String,
}
