//! The load: keep-alive connections that post signed events, each a new one, and count the answers.
//!
//! Closed loop: each connection has one request in flight. Plain sockets instead of an HTTP client,
//! so that the load costs less than what it measures.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dispatcher::cli::testbed::exchange;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How long the last answers may take once the time is over.
const PATIENCE: Duration = Duration::from_secs(60);

/// Replaces the buffer's content with request number `n`: head and body, signed.
pub(crate) type MakeRequest = dyn Fn(u64, &mut Vec<u8>) + Send + Sync;

/// How much load. It ends at the first of the two limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) time: Duration,
    pub(crate) requests: u64,
}

/// What one run of the load saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    pub(crate) requests_per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) requests: u64,
    /// Answers other than 200, and broken connections.
    pub(crate) failed: u64,
    pub(crate) took: Duration,
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

/// Runs the connections and sums up what they saw.
pub(crate) async fn run(
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

/// The time that `percent` of the sorted times do not exceed.
fn share(times: &[Duration], percent: usize) -> Duration {
    let index = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(index).copied().unwrap_or_default()
}

/// One connection; opens a new one when the old one is closed.
async fn one(run: &Run) -> (Vec<Duration>, u64) {
    let (mut times, mut failed) = (Vec::new(), 0);
    let (mut stream, mut request) = (None, Vec::new());
    let taken = |left: u64| left.checked_sub(1);
    // At least one request, however short the time is.
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
        match exchange(open, &request).await {
            Ok(answer) => {
                if answer.status == 200 {
                    times.push(began.elapsed());
                } else {
                    failed += 1;
                }
                if answer.closes {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_times_is_one_of_them() {
        let times: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(share(&times, 50), Duration::from_millis(51));
        assert_eq!(share(&times, 99), Duration::from_millis(100));
        assert_eq!(share(&[], 99), Duration::ZERO);
    }
}
