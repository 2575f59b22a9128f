//! Reads bodies within their limits, and discards those that are not wanted.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};

use super::answer::AfterAnswer;
use super::budget::Reservation;
use super::refusal::RequestRefusal;
use super::settings::BodyTime;
use crate::net::Seat;

/// How long an unwanted body is still read. If the connection were closed at once, a sender that still writes
/// would see a reset instead of the answer.
const LINGER: Duration = Duration::from_secs(5);
/// The same for a body that is refused because it is slow.
const SLOW_LINGER: Duration = Duration::from_secs(1);
/// How much of it is read and discarded.
const LINGER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A longer body can give way even if it has not been waited for.
const AT_ONCE_BYTES_MAX: usize = 64 * 1024;
/// Initial capacity for a body of several chunks, unless a shorter one was announced.
const CAPACITY_BYTES: usize = 256 * 1024;

/// Reads the whole body, and returns it with its reservation. After an error the connection must be closed.
pub(super) async fn read<'a, B>(
    body: B,
    bytes_max: usize,
    reservation: Reservation<'a>,
    time: BodyTime,
    seat: &'a Seat,
) -> Result<(Bytes, Reservation<'a>), RequestRefusal>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: fmt::Display,
{
    let mut arriving = Arriving { body, reservation, time, seat, wait: None };
    match arriving.collect(bytes_max).await {
        Ok(bytes) => Ok((bytes, arriving.reservation)),
        Err(refusal) => {
            if refusal.is_slow() {
                // What arrives slowly is not worth waiting for, but a reset must not destroy the answer.
                tokio::spawn(tokio::time::timeout(SLOW_LINGER, discard(arriving.body)));
            } else {
                abandon(arriving.body, false);
            }
            Err(refusal)
        }
    }
}

/// A body while it arrives.
struct Arriving<'a, B> {
    body: B,
    reservation: Reservation<'a>,
    time: BodyTime,
    seat: &'a Seat,
    /// `None` as long as everything so far arrived with the head, the usual case, which needs neither a timer nor an
    /// entry among those that can give way.
    wait: Option<Wait>,
}

/// The wait for the rest of a body.
struct Wait {
    began: Instant,
    timer: Pin<Box<Sleep>>,
    taken_back: oneshot::Receiver<()>,
}

impl<B> Arriving<'_, B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: fmt::Display,
{
    /// Copies the chunks into one piece. A single chunk, the usual case, is copied as well: it is a part of the
    /// connection's read buffer, and as long as an event kept it alive, the connection would have to allocate
    /// another buffer, many times its size, for each request.
    async fn collect(&mut self, bytes_max: usize) -> Result<Bytes, RequestRefusal> {
        let announced = self.body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
        let mut first = Bytes::new();
        let mut whole = BytesMut::new();
        while let Some(chunk) = self.next_chunk().await? {
            if self.reservation.bytes() + chunk.len() > bytes_max {
                return Err(RequestRefusal::TooLong { bytes_max });
            }
            if self.wait.is_some() {
                self.seat.progressed(chunk.len());
            }
            self.reservation.grow(chunk.len())?;
            let bytes = self.reservation.bytes();
            if bytes == chunk.len() {
                first = chunk;
                continue;
            }
            if whole.is_empty() {
                let capacity = announced.unwrap_or(CAPACITY_BYTES).min(CAPACITY_BYTES);
                whole.reserve(capacity.max(bytes));
                whole.extend_from_slice(&first);
            }
            whole.extend_from_slice(&chunk);
        }
        if self.wait.is_some() {
            self.reservation.complete()?;
            if !self.seat.received() {
                return Err(RequestRefusal::GaveWay);
            }
        }
        Ok(if whole.is_empty() { Bytes::copy_from_slice(&first) } else { whole.freeze() })
    }

    /// The next chunk that is not empty. Skips trailers.
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, RequestRefusal> {
        // Saves one poll at the end of the body.
        while !self.body.is_end_stream() {
            match self.next_frame().await? {
                None => break,
                Some(Err(error)) => return Err(RequestRefusal::IncompleteBody(error.to_string())),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(chunk) if !chunk.is_empty() => return Ok(Some(chunk)),
                    _ => {}
                },
            }
        }
        Ok(None)
    }

    async fn next_frame(&mut self) -> Result<Option<NextFrame<B>>, RequestRefusal> {
        if self.wait.is_none()
            && self.reservation.bytes() < AT_ONCE_BYTES_MAX
            && let Some(frame) = at_once(&mut self.body).await
        {
            return Ok(frame);
        }
        let patience = patience(self.time, self.reservation.bytes());
        let wait = self.wait.get_or_insert_with(|| {
            self.seat.receiving();
            self.seat.progressed(self.reservation.bytes());
            let began = Instant::now();
            let timer = Box::pin(tokio::time::sleep_until(began + patience.0));
            Wait { began, timer, taken_back: self.reservation.wait(self.seat) }
        });
        loop {
            tokio::select! {
                biased;
                _ = &mut wait.taken_back => return Err(RequestRefusal::GaveWay),
                frame = self.body.frame() => return Ok(frame),
                () = &mut wait.timer => {
                    // More may have arrived since it was set.
                    if wait.began.elapsed() >= patience.0 {
                        return Err(patience.1);
                    }
                    wait.timer.as_mut().reset(wait.began + patience.0);
                }
            }
        }
    }
}

/// How long is waited for the rest of a body of which these bytes have arrived, and the refusal after that.
fn patience(time: BodyTime, bytes: usize) -> (Duration, RequestRefusal) {
    let BodyTime { timeout, grace, rate_min } = time;
    let worth_us = (bytes as u64).saturating_mul(1_000_000).checked_div(rate_min);
    let patience = worth_us.map(|us| grace.saturating_add(Duration::from_micros(us)));
    match patience {
        Some(patience) if patience < timeout => (patience, RequestRefusal::SlowRate { rate_min }),
        _ => (timeout, RequestRefusal::SlowBody { seconds: timeout.as_secs() }),
    }
}

type NextFrame<B> = Result<Frame<Bytes>, <B as Body>::Error>;

/// The next frame if it has arrived. Asks twice: the first time makes hyper read the body, which it may have in its
/// buffer.
async fn at_once<B: Body<Data = Bytes> + Unpin>(body: &mut B) -> Option<Option<NextFrame<B>>> {
    let mut asked = false;
    poll_fn(|context| match Pin::new(&mut *body).poll_frame(context) {
        Poll::Ready(frame) => Poll::Ready(Some(frame)),
        Poll::Pending if asked => Poll::Ready(None),
        Poll::Pending => {
            asked = true;
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await
}

/// Discards the rest of a body that is not wanted. `waits`: the sender asked before sending the body
/// (`Expect: 100-continue`), and the answer tells it not to.
pub(super) fn abandon<B>(body: B, waits: bool) -> AfterAnswer
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    if body.is_end_stream() {
        return AfterAnswer::KeepOpen;
    }
    if !waits {
        // The answer is sent meanwhile. At most one such task per connection, with limits of its own.
        tokio::spawn(tokio::time::timeout(LINGER, discard(body)));
    }
    AfterAnswer::Close
}

async fn discard<B: Body<Data = Bytes> + Unpin>(mut body: B) {
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if bytes > LINGER_BYTES_MAX {
            return;
        }
    }
}
