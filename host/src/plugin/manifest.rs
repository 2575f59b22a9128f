//! The description that a loaded plugin gives of itself.

use serde::Deserialize;

use super::sanitize::one_line;
use crate::model::REASON_BYTES_MAX;

/// Longest manifest.
const MANIFEST_BYTES_MAX: usize = 1024 * 1024;

/// How a plugin takes events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// One event per call.
    Each,
    /// Many events as one message, with one verdict for all.
    Together,
    /// Many events per call, with a verdict for each.
    Batch,
}

/// A plugin's name, version, mode and settings schema.
#[derive(Clone, Debug, Deserialize)]
pub struct Manifest {
    pub name: String,
    pub version: String,
    /// Version of the plugin interface that it was built with.
    pub api: String,
    pub mode: Mode,
    /// One line for people.
    #[serde(default)]
    pub description: Option<String>,
    /// The setting whose values become recipients with deliveries of their own.
    #[serde(default)]
    pub fan_out: Option<String>,
    /// JSON Schema of `settings`.
    #[serde(default)]
    pub schema: serde_json::Value,
}

/// A manifest that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ManifestError {
    #[error("its manifest is longer than 1 MiB")]
    TooLong,
    #[error("its manifest is not valid: {0}")]
    NotValid(#[from] serde_json::Error),
}

impl Manifest {
    pub(super) fn parse(json: &str) -> Result<Self, ManifestError> {
        if json.len() > MANIFEST_BYTES_MAX {
            return Err(ManifestError::TooLong);
        }
        let mut manifest: Self = serde_json::from_str(json)?;
        manifest.description = manifest.description.map(|text| one_line(&text, REASON_BYTES_MAX));
        Ok(manifest)
    }
}
