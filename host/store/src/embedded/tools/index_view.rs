//! What the index of a store says, read while no other process has it open.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::embedded::index::fjall::FjallIndex;
use crate::embedded::index::rows::{Index as _, LAYOUT, Stamp};
use crate::embedded::settings::Settings;
use crate::embedded::state::apply::TargetState;
use crate::embedded::tools::{ToolError, at};

/// How the index is, before it is held against the log.
#[derive(Debug)]
pub(super) enum IndexView {
    /// A daemon has it open.
    InUse,
    /// None there, or one without content.
    Missing,
    /// It cannot be opened, or is of another version.
    Unusable(String),
    There {
        stamp: Stamp,
        targets: Vec<TargetState>,
    },
}

/// Keeps a daemon from starting while it lives.
pub(super) struct Alone(#[expect(dead_code, reason = "open means locked")] Option<File>);

/// `None` while a daemon works on the folder. Makes no file: without a lock file no daemon runs.
pub(super) fn alone(directory: &Path) -> Result<Option<Alone>, ToolError> {
    let path = Settings::new(directory).lock_file();
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(Alone(None))),
        Err(error) => return Err(at("open", &path)(error)),
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(Alone(Some(file)))),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(at("lock", &path)(error.into())),
    }
}

/// Opens the index for as long as that takes; a daemon that starts meanwhile is refused. `held`: the
/// caller keeps daemons away already.
pub(super) fn look(directory: &Path, held: bool) -> Result<IndexView, ToolError> {
    let alone = if held { None } else { Some(alone(directory)?) };
    if matches!(alone, Some(None)) {
        return Ok(IndexView::InUse);
    }
    let folder = Settings::new(directory).index_folder();
    if !folder.exists() {
        return Ok(IndexView::Missing);
    }
    let read = || {
        let index = FjallIndex::open(&folder)?;
        let Some(stamp) = index.stamp()? else { return Ok(IndexView::Missing) };
        if stamp.layout != LAYOUT {
            return Ok(IndexView::Unusable("it has the layout of another version".into()));
        }
        let targets = index.targets()?.into_iter().map(TargetState::from_row).collect();
        Ok(IndexView::There { stamp, targets })
    };
    Ok(read().unwrap_or_else(|error: crate::embedded::index::rows::IndexError| {
        IndexView::Unusable(error.reason)
    }))
}
