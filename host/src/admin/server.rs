//! Accepts connections on the admin socket, a bounded number at a time.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use super::socket::{self, AdminError};
use super::view::{Host, Inner, View};
use super::{CONNECTIONS_MAX, route};
use crate::store::Queue;
use crate::telemetry::Feed;

/// Time for a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest request head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The served socket; its file is removed on drop.
pub struct Admin {
    path: PathBuf,
    inner: Arc<Inner>,
    serving: JoinHandle<()>,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Admin {
    /// Serves `path` on `runtime`.
    ///
    /// # Errors
    /// The socket cannot be created; the text says why and what to do.
    pub fn start(
        runtime: &Handle,
        path: &Path,
        view: View,
        queue: Arc<dyn Queue>,
        feed: Feed,
        host: Arc<dyn Host>,
    ) -> Result<Self, AdminError> {
        let listener = {
            let _context = runtime.enter();
            socket::bind(path)?
        };
        let view = RwLock::new(Arc::new(view));
        let inner = Arc::new(Inner { host, view, queue, feed });
        let serving = runtime.spawn(serve(listener, Arc::clone(&inner)));
        Ok(Self { path: path.to_owned(), inner, serving })
    }

    /// Answers from another configuration from now on.
    pub fn show(&self, view: View) {
        self.inner.replace_view(view);
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.serving.abort();
        // It may have been removed already.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn serve(listener: UnixListener, inner: Arc<Inner>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // Dropped with this task, it ends every connection.
    let mut connections = JoinSet::new();
    loop {
        // Nothing closes the semaphore.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection on the admin socket");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let inner = Arc::clone(&inner);
        connections.spawn(async move {
            connection(stream, inner).await;
            drop(slot);
        });
    }
}

/// One request: people do not need more.
async fn connection(stream: UnixStream, inner: Arc<Inner>) {
    let service = service_fn(|request| {
        let inner = Arc::clone(&inner);
        async move { Ok::<_, Infallible>(route::answer(inner, request).await) }
    });
    let served = http1::Builder::new()
        .max_header_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "lost a connection of the admin socket");
    }
}
