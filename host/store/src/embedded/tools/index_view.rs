//! Reads the index of a store from a copy, while no daemon has it open.
//!
//! Opening an index writes to it: the engine replays journals and takes locks. Tools that only read must
//! not change the folder, so they open a copy in a temporary folder. Tables never change once written, so
//! the copy links to them and takes little space.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, FlockOperation, Mode, flock, mknodat};
use rustix::io::Errno;

use crate::embedded::index::fjall::FjallIndex;
use crate::embedded::index::queries::Queries as _;
use crate::embedded::index::rows::{IndexError, LAYOUT, Stamp};
use crate::embedded::platform::regular::{self, irregular_in};
use crate::embedded::settings::Settings;
use crate::embedded::state::apply::TargetState;
use crate::embedded::tools::access::{Denied, denied_of_index};
use crate::embedded::tools::{ToolError, at};

/// The folder of a keyspace whose files never change.
const TABLES: &str = "tables";

/// What is known of the index before it is compared with the log.
#[derive(Debug)]
pub(super) enum IndexView {
    /// A daemon has it open.
    InUse,
    /// It does not exist or is empty.
    Missing,
    /// It cannot be opened or read, or is of another version.
    Unusable {
        why: String,
        stamp: Option<Stamp>,
    },
    There {
        stamp: Stamp,
        targets: Vec<TargetState>,
    },
}

/// What is known of the index, and a copy to try a start with; no copy while a daemon runs.
pub(super) struct Looked {
    pub view: IndexView,
    pub shadow: Option<Shadow>,
    /// What the start may not read or write of it: that says nothing about the index itself.
    pub denied: Option<Denied>,
}

/// Whether a daemon uses the folder. Creates no file: without a lock file, none does.
fn is_in_use(directory: &Path) -> Result<bool, ToolError> {
    let path = Settings::new(directory).lock_file();
    let file = match regular::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(at("open", &path)(error)),
    };
    // A shared lock, released at once, so that other tools can run.
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(at("lock", &path)(error.into())),
    }
}

/// Reads the index. `held`: the caller holds the daemon's lock.
pub(super) fn look(directory: &Path, held: bool) -> Result<Looked, ToolError> {
    let in_use = Looked { view: IndexView::InUse, shadow: None, denied: None };
    if !held && is_in_use(directory)? {
        return Ok(in_use);
    }
    let folder = Settings::new(directory).index_folder();
    let copied = Shadow::of(&folder);
    // A daemon that started meanwhile may have changed what was copied.
    if !held && is_in_use(directory)? {
        return Ok(in_use);
    }
    let shadow = copied.map_err(at("make a copy of", &folder))?;
    let view = match (irregular_in(&folder), &shadow.unread) {
        (Ok(Some(why)), _) => IndexView::Unusable { why, stamp: None },
        (Ok(None), None) if folder.is_dir() => {
            let view = read(&shadow.index()).unwrap_or_else(|error| unusable(&error, None));
            view.in_place(&shadow)
        }
        (Ok(None), None) => IndexView::Missing,
        (_, Some(why)) => IndexView::Unusable { why: why.clone(), stamp: None },
        (Err(error), None) => {
            IndexView::Unusable { why: at("read", &folder)(error).to_string(), stamp: None }
        }
    };
    Ok(Looked { view, shadow: Some(shadow), denied: denied_of_index(directory) })
}

/// Which store its index is of, if that can be read.
pub(super) fn uuid_of(directory: &Path) -> Option<u64> {
    let shadow = Shadow::of(&Settings::new(directory).index_folder()).ok()?;
    let stamp = FjallIndex::open(&shadow.index()).and_then(|index| index.stamp());
    Some(stamp.ok()??.uuid)
}

fn unusable(error: &IndexError, stamp: Option<Stamp>) -> IndexView {
    IndexView::Unusable { why: error.to_string(), stamp }
}

impl IndexView {
    /// How far the index has read its log, as far as that is known.
    pub(super) const fn stamp(&self) -> Option<Stamp> {
        match self {
            Self::There { stamp, .. } => Some(*stamp),
            Self::Unusable { stamp, .. } => *stamp,
            Self::InUse | Self::Missing => None,
        }
    }

    /// Names the index itself, not its copy.
    fn in_place(self, shadow: &Shadow) -> Self {
        match self {
            Self::Unusable { why, stamp } => Self::Unusable { why: shadow.in_place(why), stamp },
            other => other,
        }
    }
}

fn read(folder: &Path) -> Result<IndexView, IndexError> {
    let index = FjallIndex::open(folder)?;
    let Some(stamp) = index.stamp()? else { return Ok(IndexView::Missing) };
    // Damage that no start meets shows itself later.
    if let Err(error) = index.read_all() {
        return Ok(unusable(&error, Some(stamp)));
    }
    if stamp.layout != LAYOUT {
        let why = "it has the layout of another version".to_owned();
        return Ok(IndexView::Unusable { why, stamp: None });
    }
    let targets = index.targets()?.into_iter().map(TargetState::from_row).collect();
    Ok(IndexView::There { stamp, targets })
}

/// A copy of an index in the system's temporary folder, for its owner alone; removed when dropped.
#[derive(Debug)]
pub(super) struct Shadow {
    folder: PathBuf,
    /// The folder of the index that it is a copy of.
    of: PathBuf,
    /// Why a part of it could not be copied.
    unread: Option<String>,
}

impl Shadow {
    pub(super) fn index(&self) -> PathBuf {
        self.folder.join("index")
    }

    pub(super) fn aside(&self) -> PathBuf {
        self.folder.join("damaged")
    }

    /// A text about the copy, as one about the index.
    pub(super) fn in_place(&self, text: String) -> String {
        text.replace(&*self.index().to_string_lossy(), &self.of.to_string_lossy())
    }

    pub(super) fn of(folder: &Path) -> io::Result<Self> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
        let name = format!("dispatcher-index-{:016x}", u64::from_be_bytes(bytes));
        let path = std::env::temp_dir().join(name);
        // Fails if the folder exists, which may be another user's.
        DirBuilder::new().mode(0o700).create(&path)?;
        let mut shadow = Self { folder: path, of: folder.to_path_buf(), unread: None };
        if folder.is_dir() {
            fs::create_dir(shadow.index())?;
            let copied = fs::canonicalize(folder).map_err(at("read", folder));
            let copied = copied.and_then(|from| copy(&from, &shadow.index()));
            if let Err(error) = copied {
                // A start cannot read it either.
                shadow.unread = Some(error.to_string());
                fs::remove_dir_all(shadow.index())?;
                stand_in(&shadow.index())?;
            }
        } else if folder.symlink_metadata().is_ok() {
            stand_in(&shadow.index())?;
        }
        Ok(shadow)
    }
}

impl Drop for Shadow {
    fn drop(&mut self) {
        // If this fails, the system cleans up its temporary files.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Takes the place of what is not a file: a start refuses that in the same way.
fn stand_in(path: &Path) -> io::Result<()> {
    Ok(mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?)
}

/// Copies files and folders, and links to the files of `tables`. A link to a folder is not followed, because that may be
/// any folder of the machine.
fn copy(from: &Path, to: &Path) -> Result<(), ToolError> {
    let is_tables = from.file_name().is_some_and(|name| name == TABLES);
    for entry in fs::read_dir(from).map_err(at("read", from))? {
        let entry = entry.map_err(at("read", from))?;
        let (source, copied) = (entry.path(), to.join(entry.file_name()));
        let one = || -> io::Result<bool> {
            if entry.file_type()?.is_dir() {
                fs::create_dir(&copied)?;
                return Ok(true);
            }
            if !source.is_file() {
                stand_in(&copied)?;
            } else if is_tables {
                symlink(&source, &copied)?;
            } else {
                fs::copy(&source, &copied)?;
            }
            Ok(false)
        };
        if one().map_err(at("read", &source))? {
            copy(&source, &copied)?;
        }
    }
    Ok(())
}
