//! What waits for each target, and whether new ones fit, as the newest segment says: its checkpoint, and the records
//! after it.

use std::collections::BTreeSet;
use std::path::Path;

use super::segments::{log_folder, read};
use super::{ToolError, at};
use crate::embedded::format::entry::Entry;
use crate::embedded::limits::request_bytes_max;
use crate::embedded::log::scanner::{CHUNK_BYTES, Scanner, Step, Stretch};
use crate::embedded::platform::regular;
use crate::embedded::state::apply::{State, TargetState};

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
    let backlog = |target: TargetState| Backlog {
        target: target.name,
        pending: target.counts.pending,
        dead: target.counts.dead,
    };
    Ok(state(directory)?.targets.into_iter().map(backlog).collect())
}

/// Whether a store takes the names of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamesFit {
    Yes,
    /// Only if old names are forgotten, which depends on the events that the log still has.
    Perhaps {
        known: usize,
        new: usize,
        max: usize,
    },
    No {
        known: usize,
        new: usize,
        max: usize,
    },
}

/// Whether the store in this folder, with segments of this size, takes these names of targets.
///
/// # Errors
/// As [`backlogs`].
pub fn names_fit(
    directory: &Path,
    segment_bytes: u64,
    names: &BTreeSet<&str>,
) -> Result<NamesFit, ToolError> {
    let state = state(directory)?;
    let (known, max) = (state.targets.len(), state.names_max(request_bytes_max(segment_bytes)));
    let is_wanted = |target: &&TargetState| names.contains(&*target.name);
    let new = names.len() - state.targets.iter().filter(is_wanted).count();
    let further = max.saturating_sub(known);
    let forgettable = |target: &&TargetState| target.is_forgettable() && !is_wanted(target);
    let most = further + state.targets.iter().filter(forgettable).count();
    Ok(match new {
        _ if new <= further => NamesFit::Yes,
        _ if new <= most => NamesFit::Perhaps { known, new, max },
        _ => NamesFit::No { known, new, max },
    })
}

fn state(directory: &Path) -> Result<State, ToolError> {
    let segments = read(&log_folder(directory))?;
    let newest = segments.last().and_then(|segment| Some((segment, segment.header?)));
    let Some((newest, header)) = newest else { return Ok(State::default()) };
    let file = regular::open(&newest.path).map_err(at("open", &newest.path))?;
    let to = header.base + newest.len;
    let stretch = Stretch { segment: header, from: header.first(), to };
    let (mut scanner, mut state) = (Scanner::new(&file, stretch, CHUNK_BYTES), State::default());
    while let Step::Frame(header, payload) = scanner.step().map_err(at("read", &newest.path))? {
        let Ok(entry) = Entry::read(&header, payload) else { break };
        state.apply(&entry);
    }
    Ok(state)
}
