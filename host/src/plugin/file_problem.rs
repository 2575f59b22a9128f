//! Why a plugin file is not used.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::cache::CopyError;
use super::inspect::InspectError;
use super::library::LibraryError;
use super::proof::ProofError;
use super::sanitize::one_line;
use super::settings::{FILES_MAX, PROBLEM_BYTES_MAX};
use super::trust::TrustError;

/// Why a plugin file is not used, for people: one line of at most [`PROBLEM_BYTES_MAX`] bytes.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", one_line(&.0.to_string(), PROBLEM_BYTES_MAX))]
pub struct FileProblem(Arc<FileError>);

impl From<FileError> for FileProblem {
    fn from(error: FileError) -> Self {
        Self(Arc::new(error))
    }
}

impl FileProblem {
    /// Whether the file is something else than a plugin.
    pub(super) fn is_no_plugin(&self) -> bool {
        matches!(*self.0, FileError::Inspect(InspectError::NotElf | InspectError::NotAPlugin))
    }
}

/// What is wrong with a plugin file, or with its folder.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("cannot read this folder: {0}")]
    Folder(io::Error),
    #[error("more than {FILES_MAX} .so files; those after them are ignored")]
    TooMany,
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error(transparent)]
    Inspect(#[from] InspectError),
    #[error("not used: {} has the same name, {name}, and is found first; remove one of them", first.display())]
    SecondOfItsName { name: String, first: PathBuf },
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error(transparent)]
    Proof(#[from] ProofError),
    #[error(transparent)]
    Library(#[from] LibraryError),
    #[error("it now contains the plugin {0}; restart or reload the daemon")]
    Renamed(String),
    #[error("its manifest and its section name different plugins; build it again")]
    TwoNames,
    #[error("an earlier load of a plugin panicked")]
    EarlierPanic,
}

/// Why a file cannot be read safely.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("it is a symbolic link; put the file itself there")]
    Link,
    #[error("cannot open it: {0}")]
    Open(io::Error),
    #[error("cannot read it: {0}")]
    Read(io::Error),
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error(transparent)]
    TooLarge(CopyError),
}
