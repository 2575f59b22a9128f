//! What waits for each target, as the newest segment says: its checkpoint, and the records after it.

use std::fs::File;
use std::path::Path;

use super::segments::{log_folder, read};
use super::{ToolError, at};
use crate::embedded::format::entry::Entry;
use crate::embedded::log::scanner::{CHUNK_BYTES, Scanner, Step, Stretch};
use crate::embedded::state::apply::State;

/// What waits for a target of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    pub target: String,
    /// Deliveries that wait.
    pub pending: u64,
    /// Dead letters.
    pub dead: u64,
}

/// Every target that the store knows. What was settled within the last second may be missing.
///
/// # Errors
/// The folder has no log, or the disk refuses. What lies behind damage is not counted.
pub fn backlogs(directory: &Path) -> Result<Vec<Backlog>, ToolError> {
    let segments = read(&log_folder(directory))?;
    let newest = segments.last().and_then(|segment| Some((segment, segment.header?)));
    let Some((newest, header)) = newest else { return Ok(Vec::new()) };
    let file = File::open(&newest.path).map_err(at("open", &newest.path))?;
    let to = header.base + newest.len;
    let stretch = Stretch { segment: header, from: header.first(), to };
    let (mut scanner, mut state) = (Scanner::new(&file, stretch, CHUNK_BYTES), State::default());
    while let Step::Frame(header, payload) = scanner.step().map_err(at("read", &newest.path))? {
        let Ok(entry) = Entry::read(&header, payload) else { break };
        state.apply(&entry);
    }
    let targets = state.targets.into_iter();
    let backlog = |target: crate::embedded::state::apply::TargetState| Backlog {
        target: target.name,
        pending: target.counts.pending,
        dead: target.counts.dead,
    };
    Ok(targets.map(backlog).collect())
}
