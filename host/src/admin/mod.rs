//! What people ask of the running daemon, over HTTP/1.1 on a Unix socket that only its owner can open.
//!
//! Limits: [`CONNECTIONS_MAX`] at once (further ones wait), a body of [`BODY_BYTES_MAX`] that must come
//! within [`BODY_TIMEOUT`], a page of [`PAGE_MAX`] dead letters, [`DATA_BYTES_MAX`] of an event's data.
//!
//! | request | answer |
//! |---|---|
//! | `GET /status` | [`wire::Status`] |
//! | `GET /tail` | what happens, a JSON object a line, until the client goes away |
//! | `GET /refused?source=` | [`wire::Refusal`]s, the newest last |
//! | `GET /explain?id=&data=1` | [`wire::Explained`] |
//! | `GET /dead?target=&max=` | [`wire::DeadPage`] |
//! | `POST /dead/replay`, `POST /dead/drop` | [`wire::Chosen`] → [`wire::Count`] |
//! | `POST /pause`, `POST /resume` | [`wire::Pause`], [`wire::Resume`] → [`wire::Count`] |

mod acts;
mod answer;
mod explain;
mod socket;
mod status;
mod tail;
pub mod wire;

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::UnixListener;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::model::TargetNumber;
use crate::route::Router;
use crate::store::Queue;
use crate::telemetry::Feed;

pub use socket::AdminError;

/// The socket's name in the home.
pub const SOCKET: &str = "admin.sock";
/// Most connections served at once.
pub const CONNECTIONS_MAX: usize = 64;
/// Time for a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest body taken.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Time for a body.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Most dead letters of one answer.
pub const PAGE_MAX: usize = 1_000;
/// Most bytes of an event's data in an answer.
pub const DATA_BYTES_MAX: usize = 64 * 1024;
/// Longest request head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How long to wait when a connection cannot be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A source, as people see it.
#[derive(Clone, Debug)]
pub struct SourceView {
    pub name: Arc<str>,
    /// What the sender is given.
    pub address: String,
}

/// A target, as people see it.
#[derive(Clone, Debug)]
pub struct TargetView {
    pub name: Arc<str>,
    pub number: TargetNumber,
    pub enabled: bool,
}

/// The configuration in force, as far as people ask for it.
#[derive(Debug)]
pub struct View {
    pub sources: Vec<SourceView>,
    pub targets: Vec<TargetView>,
    pub router: Arc<Router>,
}

/// What handlers work with.
struct Inner {
    view: RwLock<Arc<View>>,
    queue: Arc<dyn Queue>,
    feed: Feed,
}

impl Inner {
    fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The served socket; removed when dropped.
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
    /// The socket cannot be had; the text says why and what to do.
    pub fn start(
        runtime: &Handle,
        path: &Path,
        view: View,
        queue: Arc<dyn Queue>,
        feed: Feed,
    ) -> Result<Self, AdminError> {
        let listener = {
            let _context = runtime.enter();
            socket::bind(path)?
        };
        let inner = Arc::new(Inner { view: RwLock::new(Arc::new(view)), queue, feed });
        let serving = runtime.spawn(serve(listener, Arc::clone(&inner)));
        Ok(Self { path: path.to_owned(), inner, serving })
    }

    /// Another configuration is in force.
    pub fn show(&self, view: View) {
        *self.inner.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.serving.abort();
        // It may be gone already.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn serve(listener: UnixListener, inner: Arc<Inner>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // Ends what runs when this task ends.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        // Nothing closes the semaphore.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept on the admin socket");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let inner = Arc::clone(&inner);
        connections.spawn(async move {
            let service = service_fn(|request| {
                let inner = Arc::clone(&inner);
                async move { Ok::<_, Infallible>(answer::answer(inner, request).await) }
            });
            let served = http1::Builder::new()
                .max_header_size(HEAD_BYTES_MAX)
                .keep_alive(false)
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "connection of the admin socket ended");
            }
            drop(slot);
        });
    }
}
