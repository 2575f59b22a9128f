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

/// Longest answer read, in bytes: 1,000 ids fit.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Makes the request number `n`: head and body, signed.
pub(super) type MakeRequest = dyn Fn(u64) -> Vec<u8> + Send + Sync;

/// What one run of the load saw.
#[derive(Clone, Debug, Default)]
pub(super) struct Measured {
    pub(super) requests_per_second: f64,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    pub(super) requests: u64,
    /// Answers other than 200, and broken connections.
    pub(super) failed: u64,
}

/// Runs `connections` for `time` and gathers what they saw.
pub(super) async fn run(
    address: SocketAddr,
    connections: usize,
    time: Duration,
    numbers: &Arc<AtomicU64>,
    make: &Arc<MakeRequest>,
) -> Measured {
    let start = Instant::now();
    let tasks: Vec<_> = (0..connections)
        .map(|_| {
            let (numbers, make) = (numbers.clone(), make.clone());
            tokio::spawn(async move { one(address, start + time, &numbers, &*make).await })
        })
        .collect();
    let mut took = Vec::new();
    let mut failed = 0;
    for task in tasks {
        match task.await {
            Ok((mut times, bad)) => {
                took.append(&mut times);
                failed += bad;
            }
            Err(_) => failed += 1,
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    took.sort_unstable();
    let at = |share: f64| -> Duration {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index into the sorted times"
        )]
        let index = ((took.len() as f64 * share) as usize).min(took.len().saturating_sub(1));
        took.get(index).copied().unwrap_or_default()
    };
    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    let requests_per_second = took.len() as f64 / seconds;
    Measured {
        requests_per_second,
        p50: at(0.5),
        p99: at(0.99),
        requests: took.len() as u64,
        failed,
    }
}

/// One connection; opens a new one when the old one breaks.
async fn one(
    address: SocketAddr,
    until: Instant,
    numbers: &AtomicU64,
    make: &MakeRequest,
) -> (Vec<Duration>, u64) {
    let mut times = Vec::new();
    let mut failed = 0;
    let mut stream = None;
    while Instant::now() < until {
        if stream.is_none() {
            stream = TcpStream::connect(address).await.and_then(nodelay).ok();
        }
        let Some(open) = stream.as_mut() else {
            failed += 1;
            break;
        };
        let request = make(numbers.fetch_add(1, Ordering::Relaxed));
        let began = Instant::now();
        match exchange(open, &request).await {
            Ok(200) => times.push(began.elapsed()),
            Ok(_) => failed += 1,
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
    stream.write_all(request).await?;
    let mut answer = Vec::with_capacity(1024);
    loop {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some((status, length)) = parse(&answer)? {
            if answer.len() >= length {
                return Ok(status);
            }
        } else if answer.len() > ANSWER_BYTES_MAX {
            return Err(io::Error::other("the answer's head is too long"));
        }
    }
}

/// Status and whole length of an answer whose head is complete.
fn parse(answer: &[u8]) -> io::Result<Option<(u16, usize)>> {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let bad = || io::Error::other("no HTTP answer");
    let status = head.get(9..12).and_then(|code| code.parse().ok()).ok_or_else(bad)?;
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok())
        .unwrap_or(0);
    Ok(Some((status, end + 4 + length)))
}
