//! The senders of the selftest: they post signed events until the daemon is killed, and record which were
//! acknowledged.
//!
//! An event counts as acknowledged once the whole answer to its request was read. No event is sent twice, so
//! an event that is in a log more than once was delivered more than once.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::event;
use super::number_set::{EVENTS_MAX, NumberSet};
use crate::cli::testbed::exchange;
use crate::model::Secret;
use crate::verify::{self, Scheme};

/// Most events of one request.
const ARRAY_EVENTS_MAX: u64 = 20;
/// One of this many requests is an array.
const ARRAY_EVERY: u8 = 4;
/// Pause after a 503.
const REFUSED_PAUSE: Duration = Duration::from_millis(10);

/// What was sent and how it was answered, over all rounds.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// Number of the next event: all lower ones were sent, or were about to be.
    pub(super) next: u64,
    pub(super) acknowledged: NumberSet,
    /// Requests with a 200.
    pub(super) requests: u64,
    /// Requests with a 503.
    pub(super) refused: u64,
    /// Requests whose connection ended before their answer.
    pub(super) unanswered: u64,
    /// A status that a correctly signed request must not get.
    pub(super) wrong: Option<u16>,
}

/// Signs and posts.
#[derive(Clone)]
pub(super) struct Load {
    pub(super) seed: u64,
    pub(super) scheme: &'static Scheme,
    pub(super) secret: Secret,
    pub(super) sent: Arc<Mutex<Sent>>,
}

impl Load {
    /// Access to what was sent so far.
    pub(super) fn sent<T>(&self, look: impl FnOnce(&mut Sent) -> T) -> T {
        look(&mut self.sent.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Posts over several connections, until each has ended. Dropping the set ends them.
    pub(super) fn start(&self, address: SocketAddr, connections: u16) -> JoinSet<()> {
        (0..connections).fold(JoinSet::new(), |mut senders, _| {
            let load = self.clone();
            // The kill ends the connection and with it the sender.
            senders.spawn(async move { drop(load.post_on(address).await) });
            senders
        })
    }

    async fn post_on(&self, address: SocketAddr) -> io::Result<()> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        loop {
            let many = fastrand::u8(..ARRAY_EVERY) == 0;
            let count = if many { fastrand::u64(2..=ARRAY_EVENTS_MAX) } else { 1 };
            let Some(first) = self.sent(|sent| sent.reserve(count)) else { return Ok(()) };
            let answer = exchange(&mut stream, &self.request(first, count)).await;
            let answer = answer.map(|answer| answer.status);
            self.sent(|sent| sent.record(first, count, answer.as_ref().ok()));
            match answer? {
                200 => {}
                503 => tokio::time::sleep(REFUSED_PAUSE).await,
                _ => return Ok(()),
            }
        }
    }

    fn request(&self, first: u64, count: u64) -> Vec<u8> {
        let body = event::body(self.seed, first, count);
        let (header, signature) = verify::sign_body(self.scheme, &self.secret, body.as_bytes());
        format!(
            "POST /sqreen HTTP/1.1\r\nhost: selftest\r\ncontent-type: application/json\r\n\
             {header}: {signature}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }
}

impl Sent {
    fn reserve(&mut self, count: u64) -> Option<u64> {
        let first = self.next;
        (first + count <= EVENTS_MAX).then(|| {
            self.next += count;
            first
        })
    }

    fn record(&mut self, first: u64, count: u64, status: Option<&u16>) {
        match status {
            Some(200) => {
                self.requests += 1;
                for number in first..first + count {
                    self.acknowledged.insert(number);
                }
            }
            Some(503) => self.refused += 1,
            Some(status) => self.wrong = Some(*status),
            None => self.unanswered += 1,
        }
    }
}
