//! Tools for the folder of a store: they check, repair and copy it without opening the store.
//!
//! All but `repair` only read, and work while a daemon uses the folder: what it removes or writes meanwhile
//! does not count as damage. Memory is bounded by the largest frame and the number of targets.

mod access;
mod backlogs;
mod backup;
mod check;
mod damage;
mod dry_disk;
mod dump;
mod files;
mod give_up;
mod heal;
mod holes;
mod index_view;
mod repair;
mod segments;
mod trace;
mod trial;
mod walk;

use std::io;
use std::path::{Path, PathBuf};

pub use backlogs::{Backlog, NamesFit, backlogs, names_fit};
pub use backup::{BEFORE, BackedUp, backup};
pub use check::{Report, Start, check};
pub use damage::{Concerned, Damage, Known, Lay, Meets, Unsure};
pub use dump::{DumpOptions, dump};
pub use give_up::GivenUp;
pub use repair::{Repaired, Work, repair};

use crate::embedded::error::OpenError;

/// Most places of damage in a report.
pub const DAMAGES_MAX: usize = 10_000;
/// Most ids listed for one place.
pub const IDS_MAX: usize = 1_000;

/// Why a tool stopped: one line that says what, where and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    #[error(
        "{folder} is not a data folder: it has no log with segments; name another one with --directory"
    )]
    NoLog { folder: PathBuf },
    #[error("cannot {act} {path}: {source}")]
    Io { act: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot {act} {path}: permission denied; {run_as}")]
    Denied { act: &'static str, path: PathBuf, run_as: String },
    #[error("a daemon uses {directory}: stop it first; nothing was changed")]
    Running { directory: PathBuf },
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("{folder} is not empty: name a folder that does not exist yet; nothing was written")]
    NotEmpty { folder: PathBuf },
    #[error(
        "{folder} is inside the store's own folder {directory}, which a restore moves away: name a folder outside it; nothing was written"
    )]
    Inside { folder: PathBuf, directory: PathBuf },
    #[error("{folder} cannot be the new folder: {why}; name another one; nothing was written")]
    Unsuited { folder: PathBuf, why: &'static str },
    #[error(
        "{folder} is left from an interrupted backup, or another backup is running: if none is, remove it"
    )]
    Leftover { folder: PathBuf },
    #[error("segments were removed faster than they could be copied, {rounds} times: try again")]
    TooFast { rounds: u32 },
    #[error(
        "{name} cannot be given up: no other segment says what belongs in its place. Restore a backup of the data folder, or move the data folder away to start with an empty store; nothing was changed"
    )]
    Alone { name: String },
    #[error(
        "{name} is a part of this store, and nothing in it is damaged: to give it up would lose what is in it and repair nothing; nothing was changed. `dispatcher store check` names the files that are damaged"
    )]
    Whole { name: String },
    #[error("{folder} has no segment {name}: `ls` shows the names of its segments")]
    NoSegment { name: String, folder: PathBuf },
    #[error(
        "more than {DAMAGES_MAX} places of damage in {folder}: the disk is failing, restore a backup; nothing was changed"
    )]
    TooMuch { folder: PathBuf },
}

/// Adds to an error what failed and where.
fn at<'a>(act: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> ToolError + 'a {
    move |source| match source.kind() {
        io::ErrorKind::PermissionDenied => {
            let run_as = access::run_as(path);
            ToolError::Denied { act, path: path.to_path_buf(), run_as }
        }
        _ => ToolError::Io { act, path: path.to_path_buf(), source },
    }
}

/// Progress: bytes done, and bytes in all.
pub type Progress<'p> = dyn FnMut(u64, u64) + 'p;
