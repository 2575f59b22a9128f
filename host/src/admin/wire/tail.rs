//! One line of `GET /tail`.

use serde::{Deserialize, Serialize};

/// Something that happened, one JSON object a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum TailLine {
    /// An event was stored.
    Event {
        time: String,
        /// Empty for an event of before.
        request: String,
        source: String,
        event: String,
        severity: String,
        title: String,
        targets: Vec<String>,
        /// It was received before, and is not delivered again.
        #[serde(default)]
        duplicate: bool,
    },
    /// A request was refused. `source` is `None` for a path of no source.
    Refused { time: String, request: String, source: Option<String>, status: u16, reason: String },
    /// A target took an event.
    Delivered { time: String, target: String, event: String, attempt: u32, took_ms: u64 },
    /// An attempt failed.
    Failed { time: String, target: String, event: String, attempt: u32, reason: String },
    /// The client was too slow: this many notes were skipped.
    Missed { time: String, count: u64 },
    /// Earlier events may be missing here.
    Incomplete { time: String, reason: String },
}

impl TailLine {
    /// When it happened.
    #[must_use]
    pub fn time(&self) -> &str {
        match self {
            Self::Event { time, .. }
            | Self::Refused { time, .. }
            | Self::Delivered { time, .. }
            | Self::Failed { time, .. }
            | Self::Missed { time, .. }
            | Self::Incomplete { time, .. } => time,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_kind_of_a_line_is_its_key_what() {
        let line = TailLine::Refused {
            time: "t".into(),
            request: "r".into(),
            source: None,
            status: 401,
            reason: "no".into(),
        };
        let expected = json!({
            "what": "refused", "time": "t", "request": "r", "source": null, "status": 401,
            "reason": "no",
        });
        assert_eq!(serde_json::to_value(&line).unwrap(), expected);
        assert_eq!(serde_json::from_value::<TailLine>(expected).unwrap(), line);
        let unknown = json!({"what": "sneezed", "time": "t"});
        let error = serde_json::from_value::<TailLine>(unknown).unwrap_err().to_string();
        assert!(error.contains("unknown variant `sneezed`"), "{error}");
    }
}
