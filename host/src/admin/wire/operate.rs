//! What a person changes: dead letters and holds.

use serde::{Deserialize, Serialize};

/// `GET /dead`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeadPage {
    pub letters: Vec<Letter>,
    /// How many there are in all.
    pub total: u64,
    /// The damage of the store that was found since the start: what was recorded there may be missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
}

/// One dead letter, or a run of them that share a reason.
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

/// `POST /dead/replay` and `POST /dead/drop`: which dead letters. `POST /drop`: which deliveries that wait.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// `None`: every target.
    pub target: Option<String>,
    /// Ids of events.
    pub events: Vec<String>,
    /// Every one, instead of `events`.
    pub all: bool,
    /// Count only.
    pub dry: bool,
}

/// `POST /move`: what waits for `from` is delivered by `to`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Move {
    pub from: String,
    pub to: String,
    /// Count only.
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
    /// Deliveries of events received before this become dead letters.
    pub since_ms: Option<u64>,
    /// Count only.
    pub dry: bool,
}

/// `POST /retry`: what waits for its time is attempted now.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// `None`: every target that is not on hold.
    pub target: Option<String>,
    /// Only the deliveries of these events; empty: all.
    pub events: Vec<String>,
    /// Count only.
    pub dry: bool,
}

/// How many deliveries were changed, or would be.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Count {
    pub count: u64,
    /// Dead letters that a resume made; what waits at targets that a retry left out.
    pub skipped: u64,
    /// Ids with which nothing was done, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}
