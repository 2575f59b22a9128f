//! What a reload did, or why it changed nothing: for the log and for people.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::admin::wire;
use crate::ingest::InForce;
use crate::model::Timestamp;

/// What a reload changed.
#[derive(Clone, Debug)]
pub struct Reloaded {
    pub at: Timestamp,
    /// Its hash is kept with each request from now on.
    pub in_force: InForce,
    /// Targets that work now and did not before.
    pub started: Vec<Arc<str>>,
    /// Targets that continue with other settings or another plugin once their old instance has ended.
    pub replaced: Vec<Arc<str>>,
    /// Targets that claim no more. Their backlog is kept until they come back.
    pub ended: Vec<Arc<str>>,
    /// Keys whose new values need a restart.
    pub restart: Vec<&'static str>,
    /// One line each.
    pub warnings: Vec<String>,
}

/// Why a reload changed nothing.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{count}; nothing was changed")]
pub struct Rejected {
    pub at: Timestamp,
    /// `2 errors, 1 warning`.
    pub count: String,
    /// Every problem with its place, for people; several lines.
    pub problems: String,
}

impl Reloaded {
    pub(super) fn log(&self) {
        for warning in &self.warnings {
            tracing::warn!("{warning}");
        }
        for key in &self.restart {
            tracing::warn!("{key} was changed, which needs a restart; all else is in force");
        }
        tracing::info!(
            config = format_args!("{:016x}", self.in_force.config),
            generation = self.in_force.generation,
            started = self.started.join(", "),
            replaced = self.replaced.join(", "),
            ended = self.ended.join(", "),
            "reloaded"
        );
    }
}

impl Rejected {
    pub(super) fn new(count: impl Into<String>, problems: impl fmt::Display) -> Self {
        let at = SystemTime::now().into();
        Self { at, count: count.into(), problems: problems.to_string() }
    }

    /// A problem that is not in the configuration.
    pub(super) fn by_the_host(reason: impl fmt::Display) -> Self {
        Self::new("1 error", reason)
    }

    pub(super) fn log(&self) {
        tracing::error!("reload refused: {self}\n{}", self.problems);
    }
}

pub(super) fn in_force_to_wire(in_force: InForce) -> wire::InForce {
    let InForce { config, generation, since } = in_force;
    wire::InForce { hash: format!("{config:016x}"), generation, since: since.to_string() }
}

/// The outcome as the admin socket sends it.
pub(super) fn to_wire(result: Result<Reloaded, Rejected>) -> wire::Reload {
    let names = |names: Vec<Arc<str>>| names.iter().map(ToString::to_string).collect();
    match result {
        Ok(reloaded) => wire::Reload {
            time: reloaded.at.to_string(),
            refused: None,
            problems: String::new(),
            started: names(reloaded.started),
            replaced: names(reloaded.replaced),
            ended: names(reloaded.ended),
            restart: reloaded.restart.into_iter().map(str::to_owned).collect(),
            warnings: reloaded.warnings,
            config: Some(in_force_to_wire(reloaded.in_force)),
        },
        Err(rejected) => wire::Reload {
            time: rejected.at.to_string(),
            refused: Some(rejected.to_string()),
            problems: rejected.problems,
            ..wire::Reload::default()
        },
    }
}
