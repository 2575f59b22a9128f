//! The state of the daemon, its sources and its targets, and the outcome of a reload.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `GET /status`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// One sentence.
    pub state: String,
    /// `false` when something needs attention.
    pub well: bool,
    pub sources: Vec<SourceStatus>,
    pub targets: Vec<TargetStatus>,
    /// `None` while the daemon starts or stops.
    #[serde(default)]
    pub config: Option<InForce>,
    /// The outcome of the last reload; `None` before the first.
    #[serde(default)]
    pub reload: Option<Reload>,
    /// What was refused for lack of room since the start, by what there was too little of: `connections`,
    /// `bytes_in_flight`, `disk` or `rate`. Only what happened.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub overload: BTreeMap<String, u64>,
    /// When that last happened, and the word.
    #[serde(default)]
    pub last_overload: Option<(String, String)>,
    /// Log lines since the start that standard error did not take.
    #[serde(default)]
    pub log_lines_dropped: u64,
}

/// The configuration in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// Hash of the text of its files, 16 digits.
    pub hash: String,
    /// How many came into force since the start: 1 is the first.
    pub generation: u64,
    /// When it came into force.
    pub since: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SourceStatus {
    pub name: String,
    /// The URL for the sender.
    pub address: String,
    /// When the last event was stored, also before the start as far as that was saved; `None` if there was none.
    pub last_event: Option<String>,
    /// How many requests were refused since the start. The last 100 are remembered.
    pub refused: usize,
    /// Why it refuses every request with a 503, such as a secret that could not be read; `None`: it does not.
    #[serde(default)]
    pub unusable: Option<String>,
    /// Events since the start that were received before, and are not delivered again.
    #[serde(default)]
    pub duplicates: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TargetStatus {
    pub name: String,
    /// `kind`, with the reason, for people.
    pub state: String,
    pub kind: Condition,
    /// The backlog, retries included.
    pub pending: u64,
    pub retrying: u64,
    pub dead: u64,
    pub last_delivery: Option<String>,
    /// The reason of the last failed attempt, secrets masked; `None` if none failed since the start.
    #[serde(default)]
    pub last_error: Option<String>,
    /// What the plugin counts, by name; at most [`COUNTERS_MAX`](crate::admin::COUNTERS_MAX).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counters: BTreeMap<String, u64>,
}

/// Whether a target works, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// No attempt showed anything since it started.
    Unknown,
    Works,
    /// Its last attempts failed, not yet often or long enough to count as failing; or it did not work and was not tried
    /// since it was resumed, started again or throttled.
    NotProven,
    /// `enabled = false` in the configuration.
    Disabled,
    /// By a person.
    Paused,
    /// Held until its configuration is fixed.
    Broken,
    /// Nothing was delivered since its oldest failure, or its plugin cannot be used.
    Failing,
    /// It is not in the configuration any more, but something waits for it.
    Removed,
}

impl Condition {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Works => "works",
            Self::NotProven => "not proven",
            Self::Disabled => "disabled",
            Self::Paused => "paused",
            Self::Broken => "broken",
            Self::Failing => "failing",
            Self::Removed => "removed",
        }
    }

    /// Whether a delivery that is due is attempted in its turn.
    #[must_use]
    pub const fn takes_what_is_due(self) -> bool {
        matches!(self, Self::Unknown | Self::Works | Self::NotProven)
    }

    /// Whether a person should look at the target.
    #[must_use]
    pub const fn needs_attention(self) -> bool {
        match self {
            Self::Unknown | Self::Works | Self::NotProven | Self::Disabled => false,
            Self::Paused | Self::Broken | Self::Failing | Self::Removed => true,
        }
    }
}

/// `POST /reload`, and the outcome of the last one in [`Status`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Reload {
    pub time: String,
    /// Why it was refused, in one line; `None`: the new configuration is in force.
    pub refused: Option<String>,
    /// Every problem with its place, over several lines.
    pub problems: String,
    /// Targets, by name.
    pub started: Vec<String>,
    pub replaced: Vec<String>,
    pub ended: Vec<String>,
    /// Keys whose change needs a restart.
    pub restart: Vec<String>,
    pub warnings: Vec<String>,
    /// The configuration in force after it.
    #[serde(default)]
    pub config: Option<InForce>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_written_as_its_word_and_an_unknown_one_is_refused() {
        for condition in [
            Condition::Works,
            Condition::Disabled,
            Condition::Paused,
            Condition::Broken,
            Condition::Failing,
            Condition::Removed,
        ] {
            let text = serde_json::to_string(&condition).unwrap();
            assert_eq!(text, format!("{:?}", condition.as_str()));
            assert_eq!(serde_json::from_str::<Condition>(&text).unwrap(), condition);
        }
        let error = serde_json::from_str::<Condition>("\"sleeping\"").unwrap_err().to_string();
        assert!(error.contains("unknown variant `sleeping`"), "{error}");
    }
}
