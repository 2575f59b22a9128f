//! The load: keep-alive connections that post signed, ever new events and count the answers.
//!
//! Closed loop: each connection has one request in flight. Plain sockets instead of an HTTP client,
//! so that the load costs less than what it measures.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Longest answer read, in bytes: 1,000 ids fit.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How long the last answers may take once the time is over.
const PATIENCE: Duration = Duration::from_secs(60);

/// Writes the request number `n` over what stands in the buffer: head and body, signed.
pub(super) type MakeRequest = dyn Fn(u64, &mut Vec<u8>) + Send + Sync;

/// How much load; whatever is reached first ends it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) time: Duration,
    pub(super) requests: u64,
}

/// What one run of the load saw.
#[derive(Clone, Debug, Default)]
pub(super) struct Measured {
    pub(super) requests_per_second: f64,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    pub(super) requests: u64,
    /// Answers other than 200, and broken connections.
    pub(super) failed: u64,
    pub(super) took: Duration,
}

/// What all connections share.
struct Run {
    address: SocketAddr,
    until: Instant,
    /// Requests that may still begin.
    left: AtomicU64,
    numbers: Arc<AtomicU64>,
    make: Arc<MakeRequest>,
}

/// Runs so many connections and gathers what they saw.
pub(super) async fn run(
    address: SocketAddr,
    connections: usize,
    extent: Extent,
    numbers: &Arc<AtomicU64>,
    make: &Arc<MakeRequest>,
) -> io::Result<Measured> {
    let start = Instant::now();
    let run = Arc::new(Run {
        address,
        until: start + extent.time,
        left: AtomicU64::new(extent.requests),
        numbers: numbers.clone(),
        make: make.clone(),
    });
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let run = run.clone();
        tasks.spawn(async move { one(&run).await });
    }
    let ended = tokio::time::timeout(extent.time + PATIENCE, tasks.join_all()).await;
    let ended = ended.map_err(|_| io::Error::other(format!("{address} stopped answering")))?;
    let took = start.elapsed();
    let failed = ended.iter().map(|(_, failed)| failed).sum();
    let mut times: Vec<Duration> = ended.into_iter().flat_map(|(times, _)| times).collect();
    times.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    let requests_per_second = times.len() as f64 / took.as_secs_f64();
    Ok(Measured {
        requests_per_second,
        p50: share(&times, 50),
        p99: share(&times, 99),
        requests: times.len() as u64,
        failed,
        took,
    })
}

/// The time that so many percent of the sorted times do not exceed.
fn share(times: &[Duration], percent: usize) -> Duration {
    let index = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(index).copied().unwrap_or_default()
}

/// One connection; opens a new one when the old one is closed.
async fn one(run: &Run) -> (Vec<Duration>, u64) {
    let (mut times, mut failed) = (Vec::new(), 0);
    let (mut stream, mut request) = (None, Vec::new());
    let taken = |left: u64| left.checked_sub(1);
    // One request in any case, however short the time is.
    while (Instant::now() < run.until || (times.is_empty() && failed == 0))
        && run.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    {
        (run.make)(run.numbers.fetch_add(1, Ordering::Relaxed), &mut request);
        let began = Instant::now();
        if stream.is_none() {
            stream = TcpStream::connect(run.address).await.and_then(nodelay).ok();
        }
        let Some(open) = stream.as_mut() else {
            failed += 1;
            break;
        };
        match answered(open, &request).await {
            Ok(head) => {
                if head.status == 200 {
                    times.push(began.elapsed());
                } else {
                    failed += 1;
                }
                if head.closes {
                    stream = None;
                }
            }
            Err(_) => {
                failed += 1;
                stream = None;
            }
        }
    }
    (times, failed)
}

fn nodelay(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true).map(|()| stream)
}

/// Posts one request and reads its whole answer; gives the status.
pub(in crate::cli) async fn exchange(stream: &mut TcpStream, request: &[u8]) -> io::Result<u16> {
    answered(stream, request).await.map(|head| head.status)
}

async fn answered(stream: &mut TcpStream, request: &[u8]) -> io::Result<Head> {
    stream.write_all(request).await?;
    let mut answer = Vec::with_capacity(1024);
    loop {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(head) = parse(&answer)? {
            if answer.len() >= head.length {
                return Ok(head);
            }
        } else if answer.len() > ANSWER_BYTES_MAX {
            return Err(io::Error::other("the answer's head is too long"));
        }
    }
}

/// What the head of an answer says.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Of the whole answer, head included.
    length: usize,
    /// No other answer comes over this connection.
    closes: bool,
}

/// The head of an answer once it is complete.
fn parse(answer: &[u8]) -> io::Result<Option<Head>> {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let bad = || io::Error::other("no HTTP answer");
    let head = std::str::from_utf8(&answer[..end]).map_err(|_| bad())?;
    let status = head.get(9..12).and_then(|code| code.parse().ok()).ok_or_else(bad)?;
    let (mut length, mut closes) = (end + 4, head.starts_with("HTTP/1.0"));
    for line in head.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length += value.parse::<usize>().map_err(|_| bad())?;
        } else if name.eq_ignore_ascii_case("connection") {
            closes = value.eq_ignore_ascii_case("close");
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(io::Error::other("an answer in chunks is not read"));
        }
    }
    Ok(Some(Head { status, length, closes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_an_answer_tells_its_end_and_that_of_the_connection() {
        let head = |status, length, closes| Some(Head { status, length, closes });
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\ncontent-le", None),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{", head(200, 40, false)),
            ("HTTP/1.1 503 X\r\nConnection: close\r\n\r\n", head(503, 37, true)),
            ("HTTP/1.0 200 OK\r\n\r\n", head(200, 19, true)),
        ] {
            assert_eq!(parse(answer.as_bytes()).unwrap(), expected, "{answer}");
        }
        for answer in ["nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"]
        {
            assert!(parse(answer.as_bytes()).is_err(), "{answer}");
        }
    }

    #[test]
    fn a_share_of_the_times_is_one_of_them() {
        let times: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(share(&times, 50), Duration::from_millis(51));
        assert_eq!(share(&times, 99), Duration::from_millis(100));
        assert_eq!(share(&[], 99), Duration::ZERO);
    }
}
