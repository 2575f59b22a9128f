//! One connection from its first byte to its end.
//!
//! hyper's timer for request heads also runs while a connection is idle, restarts for every request, and ends the
//! connection without an answer. So a connection has one timer of its own for all its life: when it fires, it looks at
//! what the connection is doing and resets itself. An incomplete head is answered with a 408; an idle connection is
//! closed without an answer.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use super::activity::{Activity, Due, Phase, Times, Watched};
use super::framing;
use super::handler::Handler;
use super::peer::Proxies;
use super::room::Owner;
use super::seat::Seat;
use super::settings::HEAD_BYTES_MAX;

const SLOW_HEAD: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\
    content-type: application/json\r\ncontent-length: 44\r\n\r\n\
    {\"error\":\"the request head took too long\"}\r\n";

/// How a client begins that speaks HTTP/2 without an upgrade.
const HTTP_2: &[u8] = b"PRI * HTTP/2.0\r\n";

const NO_HTTP_2: &[u8] = b"HTTP/1.1 505 HTTP Version Not Supported\r\nconnection: close\r\n\
    content-type: application/json\r\ncontent-length: 63\r\n\r\n\
    {\"error\":\"HTTP/2 is not supported on this port; send HTTP/1.1\"}";

/// Most bytes read at once; a connection with large bodies keeps a buffer of this size. A head fits.
const READ_BYTES_MAX: usize = 2 * HEAD_BYTES_MAX;

/// How long sending an error and waiting for the peer to read it may take.
const LINGER: Duration = Duration::from_secs(1);

const OVERLOADED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\
    retry-after: 5\r\ncontent-type: application/json\r\ncontent-length: 49\r\n\r\n\
    {\"error\":\"too many connections; try again later\"}";

/// How much of a refused request is read and discarded, so that a reset does not destroy the answer.
const UNWANTED_BYTES_MAX: usize = 64 * 1024;

const NO_PROXY_HEADER: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\
    content-type: application/json\r\ncontent-length: 61\r\n\r\n\
    {\"error\":\"the connection does not begin with a PROXY header\"}";

/// Serves the connection until it ends.
pub(super) async fn serve<H: Handler>(
    remote: Remote,
    handler: Arc<H>,
    activity: Arc<Activity>,
    times: Times,
    mut stages: watch::Receiver<Stage>,
) {
    // Answers are small and complete, so waiting for more data would only delay them.
    let peer = remote.address;
    if let Err(error) = remote.stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "connection ended before its first byte");
        return;
    }
    // Before its first byte, a connection needs no buffer and little else. A new socket is reported as readable until
    // a read was tried, hence the peek.
    let mut begin = [0; HTTP_2.len()];
    let due = activity.began + times.header.min(times.idle);
    let first = tokio::select! {
        peeked = remote.stream.peek(&mut begin) => match peeked {
            // It ended without a byte.
            Ok(0) | Err(_) => return,
            Ok(_) => true,
        },
        _ = next_stage(&mut stages) => return,
        () = tokio::time::sleep_until(due) => false,
    };
    if begin == HTTP_2 {
        tracing::debug!(%peer, "refused: the client speaks HTTP/2; only HTTP/1.1 is supported");
        answer_and_close(remote.stream, NO_HTTP_2).await;
    } else if first {
        Box::pin(speak(remote, handler, activity, times, stages)).await;
    } else {
        tracing::debug!(%peer, "no request arrived");
        answer_and_close(remote.stream, SLOW_HEAD).await;
    }
}

/// Reads the PROXY header of a trusted proxy, and replaces the address by the one in it. `None`: the connection was
/// closed.
async fn with_client_address(
    mut remote: Remote,
    due: Instant,
    activity: &Activity,
    stages: &mut watch::Receiver<Stage>,
) -> Option<Remote> {
    if !remote.proxies.sends_header(remote.address) {
        return Some(remote);
    }
    let answer = tokio::select! {
        source = remote.proxies.read_header(&mut remote.stream, remote.address) => match source {
            Some(address) => {
                activity.held_for(address.ip().into(), remote.proxies.trusts(address));
                return Some(Remote { address, ..remote });
            }
            None => NO_PROXY_HEADER,
        },
        _ = next_stage(stages) => return None,
        () = tokio::time::sleep_until(due) => SLOW_HEAD,
    };
    answer_and_close(remote.stream, answer).await;
    None
}

/// Speaks HTTP/1.1 until the connection ends.
async fn speak<H: Handler>(
    remote: Remote,
    handler: Arc<H>,
    activity: Arc<Activity>,
    times: Times,
    mut stages: watch::Receiver<Stage>,
) {
    let due = activity.began + times.header;
    let Some(remote) = with_client_address(remote, due, &activity, &mut stages).await else {
        return;
    };
    let Remote { stream, address: peer, proxies } = remote;
    let (hop, of_proxy) = (activity.owner(), activity.is_of_proxy());
    let session = Arc::new((handler, Seat::of(Arc::clone(&activity)), proxies));
    let service = service_fn(move |request: Request<Incoming>| {
        let session = Arc::clone(&session);
        async move {
            let (handler, seat, proxies) = &*session;
            let activity = seat.activity();
            activity.enter(Phase::Answering);
            let two_lengths = activity.begins_request();
            let sender = proxies.peer(peer, request.headers());
            if of_proxy {
                activity.held_for(Owner::from(sender.nearest()), false);
            }
            let answer = match framing::fault(&request, two_lengths) {
                None => handler.handle(request, sender, seat).await,
                Some(fault) => {
                    tracing::debug!(peer = %sender, "request refused: {fault}");
                    // Nothing of it is of use, so its connection may be closed to make room.
                    activity.receive();
                    framing::refuse(request, fault).await
                }
            };
            if of_proxy {
                activity.held_for(hop, true);
            }
            activity.set(Phase::Idle);
            Ok::<_, Infallible>(answer)
        }
    });
    let io = TokioIo::new(Watched::new(stream, Arc::clone(&activity)));
    let mut connection = http1::Builder::new()
        // Some senders close their side after the request and wait for the answer. A sender that has vanished is noticed
        // when its body or the answer fails, and its connection ends by the same limits as any other.
        .half_close(true)
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
                Due::Idle => return,
                Due::SlowHead => break,
            },
        }
    }
    tracing::debug!(%peer, "the request head took too long");
    answer_and_close(connection.into_parts().io.into_inner().stream, SLOW_HEAD).await;
}

/// Answers a connection for which there is no room with a 503.
pub(super) async fn refuse(stream: TcpStream) {
    answer_and_close(stream, OVERLOADED).await;
}

async fn answer_and_close(mut stream: TcpStream, answer: &[u8]) {
    // An error does not matter: the peer is gone or reads nothing.
    let _ = tokio::time::timeout(LINGER, async {
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

/// The next stage of a stop.
async fn next_stage(stages: &mut watch::Receiver<Stage>) -> Stage {
    match stages.changed().await {
        Ok(()) => *stages.borrow_and_update(),
        // The listener was dropped without a stop.
        Err(_) => Stage::Cut,
    }
}

/// The other end of a connection, and the proxies that are trusted.
pub(super) struct Remote {
    pub(super) stream: TcpStream,
    pub(super) address: SocketAddr,
    pub(super) proxies: Arc<Proxies>,
}

/// How far a stop has progressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Serving,
    /// Finish the request in flight, then close.
    Draining,
    /// Close at once.
    Cut,
}
