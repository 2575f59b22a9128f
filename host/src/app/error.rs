//! Errors outside the configuration: one line each, with what is wrong, where and what to do.

use std::io;
use std::path::PathBuf;

use super::prepare::Unusable;
use crate::egress::TlsUnavailable;
use crate::net::BindError;
use crate::store::StoreError;
use crate::store::embedded::OpenError;

/// Why the daemon did not start or stop as it should.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("cannot start the threads `{name}`: {source}")]
    Threads { name: &'static str, source: io::Error },
    #[error(transparent)]
    Listen(#[from] BindError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Tls(#[from] TlsUnavailable),
    #[error("the task that receives requests failed: {0}")]
    Receiving(#[from] tokio::task::JoinError),
}

/// Why targets or plugins cannot be tried without a daemon.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    #[error("cannot make a temporary folder for copies of plugins: {0}")]
    Folder(#[source] io::Error),
    #[error("{} cannot be read as a plugin", .0.display())]
    NotAPlugin(PathBuf),
    #[error("cannot start threads for plugins: {0}")]
    Threads(#[source] io::Error),
    #[error(transparent)]
    Tls(#[from] TlsUnavailable),
    /// Settings without a value, one line each.
    #[error("{}", .0.join("\n"))]
    Unset(Vec<String>),
    #[error(transparent)]
    Unusable(#[from] Unusable),
}
