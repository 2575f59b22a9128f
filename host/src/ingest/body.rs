//! Reads bodies within their limits, and discards those that are not wanted.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;

use super::answer::AfterAnswer;
use super::limits::Shares;
use super::refusal::RequestRefusal;

/// How long an unwanted body is still read. If the connection were closed at once, a sender that still writes
/// would see a reset instead of the answer.
const LINGER: Duration = Duration::from_secs(5);
/// How much of it is read and discarded.
const LINGER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Initial capacity for a body of several chunks, unless a shorter one was announced.
const CAPACITY_BYTES: usize = 256 * 1024;

/// A body up to this length may use all of the common bytes.
const SMALL_BYTES: usize = 64 * 1024;
/// A longer body leaves this part of the common bytes, one in four, to small ones.
const PART_FOR_SMALL: usize = 4;

/// Counts the common bytes in flight. Each source counts its own part.
#[derive(Debug, Default)]
pub(super) struct Budget {
    reserved: AtomicUsize,
}

impl Budget {
    /// An empty reservation. It grows out of the source's own part first, and then out of the common bytes. A
    /// single body of at most `body_bytes_max` always fits.
    pub(super) fn reserve<'a>(
        &'a self,
        own: &'a AtomicUsize,
        shares: Shares,
        body_bytes_max: usize,
    ) -> Reservation<'a> {
        let spare = shares.common_bytes_max.saturating_sub(body_bytes_max);
        let bytes_for_small = spare.min(shares.common_bytes_max / PART_FOR_SMALL);
        Reservation { budget: self, own, shares, bytes: 0, own_bytes: 0, bytes_for_small }
    }

    #[cfg(test)]
    pub(super) fn reserved(&self) -> usize {
        self.reserved.load(Ordering::Relaxed)
    }
}

/// The bytes that one request has reserved; released when dropped.
#[derive(Debug)]
pub(super) struct Reservation<'a> {
    budget: &'a Budget,
    /// Bytes reserved of the source's own part, by all of its requests.
    own: &'a AtomicUsize,
    shares: Shares,
    bytes: usize,
    /// How many of `bytes` are from the source's own part.
    own_bytes: usize,
    /// How many of the common bytes are for small bodies only.
    bytes_for_small: usize,
}

impl Reservation<'_> {
    /// Reserves `more` bytes, or none if there is not enough room.
    pub(super) fn grow(&mut self, more: usize) -> Result<(), RequestRefusal> {
        if take(self.own, more, self.shares.own_bytes_max) {
            self.own_bytes += more;
        } else {
            let mut bytes_max = self.shares.common_bytes_max;
            // A few long bodies that never end must not block many small ones.
            if self.bytes + more > SMALL_BYTES {
                bytes_max -= self.bytes_for_small;
            }
            if !take(&self.budget.reserved, more, bytes_max) {
                return Err(RequestRefusal::BytesInFlight { bytes_max });
            }
        }
        self.bytes += more;
        Ok(())
    }
}

fn take(reserved: &AtomicUsize, more: usize, bytes_max: usize) -> bool {
    let grown = |reserved: usize| reserved.checked_add(more).filter(|sum| *sum <= bytes_max);
    reserved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).is_ok()
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.own.fetch_sub(self.own_bytes, Ordering::Relaxed);
        self.budget.reserved.fetch_sub(self.bytes - self.own_bytes, Ordering::Relaxed);
    }
}

/// Reads the whole body, and returns it with its reservation. After an error the connection must be closed.
pub(super) async fn read<B>(
    mut body: B,
    bytes_max: usize,
    mut reservation: Reservation<'_>,
    timeout: Duration,
) -> Result<(Bytes, Reservation<'_>), RequestRefusal>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: fmt::Display,
{
    match tokio::time::timeout(timeout, collect(&mut body, bytes_max, &mut reservation)).await {
        Ok(Ok(bytes)) => Ok((bytes, reservation)),
        Ok(Err(refusal)) => {
            abandon(body, false);
            Err(refusal)
        }
        Err(_) => Err(RequestRefusal::SlowBody { seconds: timeout.as_secs() }),
    }
}

/// Copies the chunks into one piece. A single chunk, the usual case, is copied as well: it is a part of the
/// connection's read buffer, and as long as an event kept it alive, the connection would have to allocate
/// another buffer, many times its size, for each request.
async fn collect<B>(
    body: &mut B,
    bytes_max: usize,
    reservation: &mut Reservation<'_>,
) -> Result<Bytes, RequestRefusal>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: fmt::Display,
{
    let announced = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(chunk) = next_chunk(body).await? {
        if reservation.bytes + chunk.len() > bytes_max {
            return Err(RequestRefusal::TooLong { bytes_max });
        }
        reservation.grow(chunk.len())?;
        if reservation.bytes == chunk.len() {
            first = chunk;
            continue;
        }
        if whole.is_empty() {
            let capacity = announced.unwrap_or(CAPACITY_BYTES).min(CAPACITY_BYTES);
            whole.reserve(capacity.max(reservation.bytes));
            whole.extend_from_slice(&first);
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(if whole.is_empty() { Bytes::copy_from_slice(&first) } else { whole.freeze() })
}

/// The next chunk that is not empty. Skips trailers.
async fn next_chunk<B>(body: &mut B) -> Result<Option<Bytes>, RequestRefusal>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: fmt::Display,
{
    // Saves one poll at the end of the body.
    while !body.is_end_stream() {
        match body.frame().await {
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
