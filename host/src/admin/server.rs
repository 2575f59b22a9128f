//! Accepts connections on the admin socket, a bounded number at a time.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use super::ANSWER_TIMEOUT;
use super::route::{self, Answer};
use super::seats::{Peer, Seat, Seats};
use super::socket::{self, AdminError};
use super::socket_file::SocketFile;
use super::view::{Host, Inner, View};
use crate::store::Queue;
use crate::telemetry::{Feed, LogThrottle};

/// Time for a request's head: clients are on this machine and send it at once.
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest request head, and most bytes of an answer that hyper copies before they are sent.
const BUFFER_BYTES_MAX: usize = 16 * 1024;
/// Pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// One line of a kind in this time; others are counted.
const LINES_WINDOW: Duration = Duration::from_secs(60);

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
        let (listener, file) = {
            let _context = runtime.enter();
            (socket::bind(path)?, SocketFile::watch(path))
        };
        let view = RwLock::new(Arc::new(view));
        let inner = Arc::new(Inner { host, view, queue, feed });
        let serving = runtime.spawn(serve(listener, file, path.to_owned(), Arc::clone(&inner)));
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

async fn serve(mut listener: UnixListener, mut file: SocketFile, path: PathBuf, inner: Arc<Inner>) {
    let seats = Arc::<Seats>::default();
    let errors = LogThrottle::new(1, LINES_WINDOW);
    let closed = LogThrottle::new(1, LINES_WINDOW);
    // Dropped with this task, it ends every connection.
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = file.gone() => {
                if let Some(made) = made_again(&path) {
                    listener = made;
                    file.made();
                }
                continue;
            }
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                if let Some(left_out) = errors.admit(Instant::now()) {
                    tracing::warn!(%error, left_out, "cannot accept a connection on the admin socket");
                }
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let peer = peer(&stream);
        let Some(seat) = seats.take(peer).await else {
            if let Some(left_out) = closed.admit(Instant::now()) {
                tracing::warn!(
                    ?peer,
                    left_out,
                    "closed a connection to the admin socket: this process has too many"
                );
            }
            continue;
        };
        while connections.try_join_next().is_some() {}
        let number = seat.number();
        let task = connections.spawn(connection(stream, Arc::clone(&inner), Arc::new(seat)));
        seats.served_by(number, task);
    }
}

/// Replaces a socket whose file is gone: without it people cannot reach the daemon.
fn made_again(path: &Path) -> Option<UnixListener> {
    let shown = path.display();
    match socket::bind(path) {
        Ok(listener) => {
            tracing::warn!("{shown} was removed or replaced: made the admin socket again");
            Some(listener)
        }
        Err(error) => {
            tracing::error!("the admin socket was removed or replaced: {error}");
            None
        }
    }
}

/// The process that connected.
fn peer(stream: &UnixStream) -> Peer {
    let Ok(credentials) = stream.peer_cred() else { return Peer::default() };
    Peer { user: credentials.uid(), process: credentials.pid().unwrap_or_default() }
}

async fn connection(stream: UnixStream, inner: Arc<Inner>, seat: Arc<Seat>) {
    let answer = |request| {
        let (inner, seat) = (Arc::clone(&inner), Arc::clone(&seat));
        async move { route::answer(inner, request, &seat).await }
    };
    serve_one(stream, answer).await;
}

/// One request: people do not need more. A whole answer has [`ANSWER_TIMEOUT`] from when it is ready.
async fn serve_one<A: Future<Output = Response<Answer>>>(
    stream: UnixStream,
    answer: impl Fn(Request<Incoming>) -> A,
) {
    let is_ready = Notify::new();
    let service = service_fn(|request| {
        let (answer, is_ready) = (answer(request), &is_ready);
        async move {
            let response = answer.await;
            if matches!(response.body(), Answer::Whole(_)) {
                is_ready.notify_one();
            }
            Ok::<_, Infallible>(response)
        }
    });
    let served = http1::Builder::new()
        .max_header_size(BUFFER_BYTES_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let too_late = async {
        is_ready.notified().await;
        sleep(ANSWER_TIMEOUT).await;
    };
    tokio::select! {
        served = served => if let Err(error) = served {
            tracing::debug!(%error, "lost a connection of the admin socket");
        },
        () = too_late => tracing::debug!("a client of the admin socket did not read its answer"),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::{Instant, timeout};

    use super::*;

    /// More than the kernel buffers.
    const ANSWER_BYTES: usize = 4 * 1024 * 1024;

    async fn large(_: Request<Incoming>) -> Response<Answer> {
        Response::new(Answer::Whole(Some(vec![b'x'; ANSWER_BYTES].into())))
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_read_is_given_up_and_one_that_is_read_is_whole() {
        for reads in [false, true] {
            let (mut client, server) = UnixStream::pair().unwrap();
            client.write_all(b"GET /status HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
            let began = Instant::now();
            let served = timeout(10 * ANSWER_TIMEOUT, serve_one(server, large));
            if reads {
                let mut read = Vec::new();
                let (served, _) = tokio::join!(served, client.read_to_end(&mut read));
                assert!(served.is_ok() && read.len() > ANSWER_BYTES, "{}", read.len());
            } else {
                assert!(served.await.is_ok(), "the connection stays open");
                assert!(began.elapsed() >= ANSWER_TIMEOUT);
            }
        }
    }
}
