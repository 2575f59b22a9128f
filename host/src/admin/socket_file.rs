//! Notices that the file of the admin socket was removed or replaced.
//!
//! The kernel reports it: nothing wakes while nothing happens. Where it cannot, the file is not watched.

use std::fs::Metadata;
use std::future::pending;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::unix::AsyncFd;

/// For the reports of some changes at once; the rest is read next.
const REPORTS_BYTES: usize = 4_096;

/// The file of a socket that is being served.
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and number of the file.
    id: Option<(u64, u64)>,
    reports: Option<AsyncFd<OwnedFd>>,
}

impl SocketFile {
    /// Must be called in the context of a runtime, when the socket was just made.
    pub(super) fn watch(path: &Path) -> Self {
        let reports = path.parent().and_then(|folder| {
            let watched = reports_of(folder);
            watched
                .inspect_err(|error| tracing::debug!(%error, "the admin socket is not watched"))
                .ok()
        });
        let mut file = Self { path: path.to_owned(), id: None, reports };
        file.made();
        file
    }

    /// The socket was made again.
    pub(super) fn made(&mut self) {
        self.id = self.there();
    }

    /// Waits until the file is gone or is another one. Cancel safe.
    pub(super) async fn gone(&self) {
        let Some(reports) = &self.reports else { return pending().await };
        loop {
            let Ok(mut ready) = reports.readable().await else { return pending().await };
            drain(reports.get_ref());
            ready.clear_ready();
            if self.there() != self.id {
                return;
            }
        }
    }

    fn there(&self) -> Option<(u64, u64)> {
        let id = |file: Metadata| (file.dev(), file.ino());
        std::fs::symlink_metadata(&self.path).ok().map(id)
    }
}

#[expect(
    deprecated,
    reason = "the replacement is unsafe code; this descriptor stays open and the same"
)]
fn reports_of(folder: &Path) -> std::io::Result<AsyncFd<OwnedFd>> {
    let reports = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    let removed = WatchFlags::DELETE | WatchFlags::MOVED_FROM | WatchFlags::MOVED_TO;
    inotify::add_watch(&reports, folder, removed | WatchFlags::MOVE_SELF)?;
    AsyncFd::new(reports)
}

fn drain(reports: &OwnedFd) {
    let mut buffer = [MaybeUninit::uninit(); REPORTS_BYTES];
    let mut reader = inotify::Reader::new(reports, &mut buffer);
    while reader.next().is_ok() {}
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_file_that_is_removed_or_replaced_is_noticed_and_another_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let [path, other] = ["admin.sock", "other"].map(|name| folder.path().join(name));
        std::fs::write(&path, "").unwrap();
        let mut file = SocketFile::watch(&path);
        std::fs::write(&other, "").unwrap();
        std::fs::remove_file(&other).unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(50), file.gone()).await.is_err());
        std::fs::remove_file(&path).unwrap();
        file.gone().await;
        std::fs::write(&path, "").unwrap();
        file.made();
        std::fs::write(&other, "").unwrap();
        std::fs::rename(&other, &path).unwrap();
        file.gone().await;
    }
}
