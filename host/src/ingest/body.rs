//! Reading bodies within their limits, and letting go of those that are not wanted.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;

use super::Ending;
use super::limits::Shares;
use super::refusal::Refusal;

/// How long an unwanted body is read on. A sender that still writes would see a reset instead of the
/// answer if the connection were closed at once.
const LINGER: Duration = Duration::from_secs(5);
/// How much of it is read and thrown away.
const LINGER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// First room for a body of several chunks, unless it says that it is smaller.
const ROOM_BYTES: usize = 256 * 1024;

/// So much of each body may use all of what sources share; what is longer leaves this part of it to the others.
const SMALL_BYTES: usize = 64 * 1024;
const PART_FOR_SMALL: usize = 4;

/// The bytes of all bodies that are held at once, but for those of a source's own part.
#[derive(Debug, Default)]
pub(super) struct Budget {
    held: AtomicUsize,
}

impl Budget {
    /// Nothing of it yet; to be grown from the source's own part first, then while all together hold at
    /// most what they share. One body of at most `body_bytes_max` always fits when it is alone.
    pub(super) fn hold<'a>(
        &'a self,
        own: &'a AtomicUsize,
        shares: Shares,
        body_bytes_max: usize,
    ) -> Held<'a> {
        let spare = shares.common_bytes_max.saturating_sub(body_bytes_max);
        let bytes_for_small = spare.min(shares.common_bytes_max / PART_FOR_SMALL);
        Held { budget: self, own, shares, bytes: 0, own_bytes: 0, bytes_for_small }
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

/// A request's part of the budget; given back when dropped.
#[derive(Debug)]
pub(super) struct Held<'a> {
    budget: &'a Budget,
    /// What its source holds of its own part.
    own: &'a AtomicUsize,
    shares: Shares,
    bytes: usize,
    /// Of these, from the source's own part.
    own_bytes: usize,
    /// Of what is shared, for what is short.
    bytes_for_small: usize,
}

impl Held<'_> {
    /// Holds `more` bytes, or none of them when there is no room.
    pub(super) fn grow(&mut self, more: usize) -> Result<(), Refusal> {
        if take(self.own, more, self.shares.own_bytes_max) {
            self.own_bytes += more;
        } else {
            let mut bytes_max = self.shares.common_bytes_max;
            // A few long bodies that do not come to their end must not keep out the many that are short.
            if self.bytes + more > SMALL_BYTES {
                bytes_max -= self.bytes_for_small;
            }
            if !take(&self.budget.held, more, bytes_max) {
                return Err(Refusal::BytesInFlight { bytes_max });
            }
        }
        self.bytes += more;
        Ok(())
    }
}

fn take(held: &AtomicUsize, more: usize, bytes_max: usize) -> bool {
    let grown = |held: usize| held.checked_add(more).filter(|held| *held <= bytes_max);
    held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).is_ok()
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.own.fetch_sub(self.own_bytes, Ordering::Relaxed);
        self.budget.held.fetch_sub(self.bytes - self.own_bytes, Ordering::Relaxed);
    }
}

/// The whole body, with its part of the budget. After an error the connection is of no more use.
pub(super) async fn read<B>(
    mut body: B,
    bytes_max: usize,
    mut held: Held<'_>,
    timeout: Duration,
) -> Result<(Bytes, Held<'_>), Refusal>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: fmt::Display,
{
    match tokio::time::timeout(timeout, collect(&mut body, bytes_max, &mut held)).await {
        Ok(Ok(bytes)) => Ok((bytes, held)),
        Ok(Err(refusal)) => {
            let_go(body, false);
            Err(refusal)
        }
        Err(_) => Err(Refusal::SlowBody { seconds: timeout.as_secs() }),
    }
}

/// The chunks, copied together once. A single one, which is most, is copied as well: it is a part of
/// what the connection reads into, and as long as an event kept it alive the connection would have
/// to make new room of many times its size for each request.
async fn collect<B>(body: &mut B, bytes_max: usize, held: &mut Held<'_>) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: fmt::Display,
{
    let announced = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(chunk) = next_chunk(body).await? {
        if held.bytes + chunk.len() > bytes_max {
            return Err(Refusal::TooLong { bytes_max });
        }
        held.grow(chunk.len())?;
        if held.bytes == chunk.len() {
            first = chunk;
            continue;
        }
        if whole.is_empty() {
            whole.reserve(announced.unwrap_or(ROOM_BYTES).min(ROOM_BYTES).max(held.bytes));
            whole.extend_from_slice(&first);
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(if whole.is_empty() { Bytes::copy_from_slice(&first) } else { whole.freeze() })
}

/// The next chunk that is not empty; trailers are skipped.
async fn next_chunk<B>(body: &mut B) -> Result<Option<Bytes>, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: fmt::Display,
{
    // What is at its end need not be asked again.
    while !body.is_end_stream() {
        match body.frame().await {
            None => break,
            Some(Err(error)) => return Err(Refusal::BrokenBody(error.to_string())),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(chunk) if !chunk.is_empty() => return Ok(Some(chunk)),
                _ => {}
            },
        }
    }
    Ok(None)
}

/// Ends the reading of a body that is not wanted, wholly read or not. `waits`: its sender asked
/// whether to send it (`Expect: 100-continue`), and is told no by the answer.
pub(super) fn let_go<B>(body: B, waits: bool) -> Ending
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    if body.is_end_stream() {
        return Ending::KeepOpen;
    }
    if !waits {
        // The answer goes out meanwhile. One such task a connection at most, and bounded itself.
        tokio::spawn(tokio::time::timeout(LINGER, discard(body)));
    }
    Ending::Close
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
