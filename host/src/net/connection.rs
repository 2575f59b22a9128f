//! One connection from its first byte to its end.
//!
//! hyper has one timer for a request's head, which also runs while a connection only rests, starts
//! anew for every request, and ends without an answer. Here a connection has one timer for all its
//! life: it looks at what the connection does when it fires, and sets itself anew. A head that came
//! in part and not on is answered 408; a resting connection is closed without a word.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Far, HEAD_BYTES_MAX, Handler, Settings, Stage};

const SLOW_HEAD: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\
    content-type: application/json\r\ncontent-length: 44\r\n\r\n\
    {\"error\":\"the request head took too long\"}\r\n";

/// Most bytes read at once, which a connection that brings large bodies keeps room for. A head fits.
const READ_BYTES_MAX: usize = 2 * HEAD_BYTES_MAX;

/// How long saying that may take, and waiting for the peer to have it.
const FAREWELL: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    header: Duration,
    idle: Duration,
}

impl Times {
    pub(super) const fn of(settings: &Settings) -> Self {
        Self { header: settings.header_timeout, idle: settings.idle_timeout }
    }
}

const OVERLOADED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\
    retry-after: 5\r\ncontent-type: application/json\r\ncontent-length: 64\r\n\r\n\
    {\"error\":\"too many requests at the moment; send it again later\"}";

/// What is read and thrown away of a request that is not taken, so that the answer is not lost by a reset.
const UNWANTED_BYTES_MAX: usize = 64 * 1024;

const NOT_INTRODUCED: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\
    content-type: application/json\r\ncontent-length: 47\r\n\r\n\
    {\"error\":\"no PROXY protocol header came first\"}";

/// Serves the connection until it ends.
pub(super) async fn serve<H: Handler>(
    far: Far,
    handler: Arc<H>,
    activity: Arc<Activity>,
    times: Times,
    mut stages: watch::Receiver<Stage>,
) {
    // Answers are small and complete: waiting for more to send would only delay them.
    let peer = far.address;
    if let Err(error) = far.stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "connection ended before it began");
        return;
    }
    // Until something comes, a connection costs no buffer and little else. A new socket counts as readable
    // until it was tried, so it is tried.
    let mut byte = [0];
    let due = activity.began + times.header.min(times.idle);
    let first = tokio::select! {
        peeked = far.stream.peek(&mut byte) => match peeked {
            // It went without a word.
            Ok(0) | Err(_) => return,
            Ok(_) => true,
        },
        _ = next_stage(&mut stages) => return,
        () = tokio::time::sleep_until(due) => false,
    };
    if first {
        Box::pin(speak(far, handler, activity, times, stages)).await;
    } else {
        tracing::debug!(%peer, "no request came");
        say_and_close(far.stream, SLOW_HEAD).await;
    }
}

/// The connection as the one of whom its trusted proxy says it is; `None` when it is over.
async fn introduced(
    mut far: Far,
    due: Instant,
    stages: &mut watch::Receiver<Stage>,
) -> Option<Far> {
    if !far.proxies.introduces(far.address) {
        return Some(far);
    }
    let answer = tokio::select! {
        source = far.proxies.introduced(&mut far.stream, far.address) => match source {
            Some(address) => return Some(Far { address, ..far }),
            None => NOT_INTRODUCED,
        },
        _ = next_stage(stages) => return None,
        () = tokio::time::sleep_until(due) => SLOW_HEAD,
    };
    say_and_close(far.stream, answer).await;
    None
}

/// Speaks HTTP/1.1 until the connection ends.
async fn speak<H: Handler>(
    far: Far,
    handler: Arc<H>,
    activity: Arc<Activity>,
    times: Times,
    mut stages: watch::Receiver<Stage>,
) {
    let Some(far) = introduced(far, activity.began + times.header, &mut stages).await else {
        return;
    };
    let Far { stream, address: peer, proxies } = far;
    let session = Arc::new((handler, Arc::clone(&activity), proxies));
    let service = service_fn(move |request: Request<Incoming>| {
        let session = Arc::clone(&session);
        async move {
            let (handler, activity, proxies) = &*session;
            activity.enter(Phase::Answering);
            let sender = proxies.peer(peer, request.headers());
            let answer = handler.handle(request, sender).await;
            activity.set(Phase::Resting);
            Ok::<_, Infallible>(answer)
        }
    });
    let io = TokioIo::new(Watched { stream, activity: Arc::clone(&activity) });
    let mut connection = http1::Builder::new()
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(READ_BYTES_MAX)
        .serve_connection(io, service);

    let mut timer = pin!(tokio::time::sleep_until(activity.began + times.header.min(times.idle)));
    loop {
        tokio::select! {
            biased;
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(%peer, %error, "connection ended");
                }
                return;
            }
            stage = next_stage(&mut stages) => match stage {
                Stage::Cut => return,
                _ => Pin::new(&mut connection).graceful_shutdown(),
            },
            () = &mut timer => match activity.due(times, Instant::now()) {
                Due::At(at) => timer.as_mut().reset(at),
                Due::Rested => return,
                Due::SlowHead => break,
            },
        }
    }
    tracing::debug!(%peer, "the request head took too long");
    say_and_close(connection.into_parts().io.into_inner().stream, SLOW_HEAD).await;
}

/// Tells a peer that was not expected why it is not served.
pub(super) async fn turn_away(stream: TcpStream) {
    say_and_close(stream, OVERLOADED).await;
}

async fn say_and_close(mut stream: TcpStream, answer: &[u8]) {
    // The peer may be gone, or read nothing: then there is nobody to tell.
    let _ = tokio::time::timeout(FAREWELL, async {
        stream.write_all(answer).await?;
        stream.shutdown().await?;
        let (mut unwanted, mut bytes) = ([0; 256], 0);
        while bytes < UNWANTED_BYTES_MAX {
            match stream.read(&mut unwanted).await? {
                0 => break,
                read => bytes += read,
            }
        }
        io::Result::Ok(())
    })
    .await;
}

/// The next step of a stop.
async fn next_stage(stages: &mut watch::Receiver<Stage>) -> Stage {
    match stages.changed().await {
        Ok(()) => *stages.borrow_and_update(),
        // The listener was dropped without a stop.
        Err(_) => Stage::Cut,
    }
}

/// What a connection does, and since when. Written and read by its one task.
pub(super) struct Activity {
    began: Instant,
    phase: AtomicU8,
    since_ms: AtomicU64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// Between requests.
    Resting,
    /// A request's head has begun.
    Reading,
    /// The handler has it; its limits hold.
    Answering,
}

enum Due {
    At(Instant),
    Rested,
    SlowHead,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            // Whoever connects means to send something; to rest one must have been answered first.
            phase: AtomicU8::new(Phase::Reading as u8),
            since_ms: AtomicU64::new(0),
        }
    }

    fn set(&self, phase: Phase) {
        let since_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since_ms.store(since_ms, Ordering::Relaxed);
        self.enter(phase);
    }

    /// Into a phase of which nobody asks since when.
    fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    fn is(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::Relaxed) == phase as u8
    }

    fn received(&self) {
        if self.is(Phase::Resting) {
            self.set(Phase::Reading);
        }
    }

    /// Since when it waits for a request that does not come; with a time also since when one is answered
    /// that takes longer than that.
    pub(super) fn waits_since(&self, now: Instant, stuck: Option<Duration>) -> Option<Instant> {
        let since = self.since();
        let waits = match stuck {
            None => !self.is(Phase::Answering),
            Some(stuck) => now >= since + stuck,
        };
        waits.then_some(since)
    }

    fn since(&self) -> Instant {
        self.began + Duration::from_millis(self.since_ms.load(Ordering::Relaxed))
    }

    /// What the timer means at `now`.
    fn due(&self, times: Times, now: Instant) -> Due {
        let since = self.since();
        if self.is(Phase::Answering) {
            return Due::At(now + times.header.min(times.idle));
        }
        let (limit, due) = if self.is(Phase::Reading) {
            (times.header, Due::SlowHead)
        } else {
            (times.idle, Due::Rested)
        };
        if now >= since + limit {
            return due;
        }
        // Looks again early enough for a head that begins right now.
        Due::At((since + limit).min(now + times.header))
    }
}

/// A stream that notes when something comes.
struct Watched {
    stream: TcpStream,
    activity: Arc<Activity>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.activity.received();
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
