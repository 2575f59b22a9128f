//! The newest requests in memory, shared by all targets: a target that keeps up never reads the disk.
//!
//! Bounded by bytes; the oldest are dropped first, and targets that still need them read the log.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock, RwLock};

use bytes::Bytes;
use dispatcher_model::StoredEvent;

use crate::embedded::format::event_number::{lsn_of, number};
use crate::embedded::format::stored_request::{Read, TailEvent};
use crate::embedded::limits::TAIL_BYTES_MAX;
use crate::embedded::platform::locks::{read_lock, write_lock};

/// About what a decoded event takes besides its bytes.
const EVENT_BYTES: usize = 512;

/// A request as the log has it. The first reader decodes its events, once, to keep that work off the
/// receiving thread.
#[derive(Debug)]
pub(crate) struct TailFrame {
    pub lsn: u64,
    pub end: u64,
    /// Targets of any of its events, ascending.
    targets: Vec<u16>,
    /// About the bytes it takes.
    bytes: usize,
    store: u16,
    payload: Bytes,
    events: OnceLock<Vec<TailEvent>>,
}

impl TailFrame {
    /// `store` gave the ids of the `count` events.
    pub(crate) fn new(
        store: u16,
        (lsn, end): (u64, u64),
        targets: Vec<u16>,
        count: usize,
        payload: Bytes,
    ) -> Self {
        let bytes = payload.len() + (count + 1) * EVENT_BYTES;
        Self { lsn, end, targets, bytes, store, payload, events: OnceLock::new() }
    }

    /// One with decoded events.
    #[cfg(test)]
    pub(crate) fn of(lsn: u64, end: u64, targets: Vec<u16>, events: Vec<TailEvent>) -> Self {
        let frame = Self::new(0, (lsn, end), targets, 0, Bytes::new());
        Self { events: OnceLock::from(events), ..frame }
    }

    pub(crate) fn concerns(&self, target: u16) -> bool {
        self.targets.binary_search(&target).is_ok()
    }

    fn events(&self) -> &[TailEvent] {
        self.events.get_or_init(|| {
            // This process wrote it, so it is readable.
            Read::new(self.lsn, &self.payload)
                .map(|read| read.tail_events(self.store, &self.payload))
                .unwrap_or_default()
        })
    }

    /// Numbers and events for a target.
    pub(crate) fn deliveries(&self, target: u16) -> impl Iterator<Item = (u64, &Arc<StoredEvent>)> {
        (0u16..)
            .zip(self.events())
            .filter(move |(_, event)| event.targets.binary_search(&target).is_ok())
            .map(|(place, event)| (number(self.lsn, place), &event.event))
    }
}

#[derive(Debug)]
pub(crate) struct Tail(RwLock<Frames>);

#[derive(Debug)]
struct Frames {
    frames: VecDeque<Arc<TailFrame>>,
    bytes: usize,
    /// Holds every routed request from this place on.
    from: u64,
}

impl Tail {
    /// Empty, for a log that ends at `from`.
    pub(crate) fn new(from: u64) -> Self {
        Self(RwLock::new(Frames { frames: VecDeque::new(), bytes: 0, from }))
    }

    /// Returns what was dropped for space: freeing it takes time, and should not happen under a lock.
    pub(crate) fn push(&self, new: impl Iterator<Item = Arc<TailFrame>>) -> Vec<Arc<TailFrame>> {
        let (mut tail, mut gone) = (write_lock(&self.0), Vec::new());
        for frame in new {
            tail.bytes += frame.bytes;
            tail.frames.push_back(frame);
        }
        while tail.bytes > TAIL_BYTES_MAX {
            let Some(oldest) = tail.frames.pop_front() else { break };
            tail.bytes -= oldest.bytes;
            tail.from = oldest.end;
            gone.push(oldest);
        }
        gone
    }

    /// Whether everything from that number on is here.
    pub(crate) fn covers(&self, from: u64) -> bool {
        lsn_of(from) >= read_lock(&self.0).from
    }

    /// Passes the frames from the number `from` on that concern the target to `take`, until it has enough;
    /// returns the number to continue from. `None` when the log has to be read instead.
    pub(crate) fn read(
        &self,
        target: u16,
        from: u64,
        mut take: impl FnMut(&TailFrame) -> bool,
    ) -> Option<u64> {
        let tail = read_lock(&self.0);
        if lsn_of(from) < tail.from {
            return None;
        }
        let start = tail.frames.partition_point(|frame| frame.lsn < lsn_of(from));
        let mut to = from;
        for frame in tail.frames.range(start..) {
            to = number(frame.end, 0);
            if frame.concerns(target) && !take(frame) {
                break;
            }
        }
        Some(to)
    }

    /// Decodes as many frames as [`read`](Self::read) will pass on for about `max` deliveries, one after the
    /// other and without a lock that others wait for.
    pub(crate) fn take_out(&self, target: u16, from: u64, max: usize) {
        let (mut lsn, mut count) = (lsn_of(from), 0);
        while count < max
            && let Some(frame) = self.next(target, lsn)
        {
            count += frame.deliveries(target).count();
            lsn = frame.end;
        }
    }

    /// The first frame from that place on that concerns the target.
    fn next(&self, target: u16, lsn: u64) -> Option<Arc<TailFrame>> {
        let tail = read_lock(&self.0);
        let start = tail.frames.partition_point(|frame| frame.lsn < lsn);
        tail.frames.range(start..).find(|frame| frame.concerns(target)).cloned()
    }

    /// The newest events, the newest first.
    pub(crate) fn newest(&self, max: usize) -> Vec<Arc<StoredEvent>> {
        // Each has at least one event.
        let frames: Vec<_> = read_lock(&self.0).frames.iter().rev().take(max).cloned().collect();
        let events = frames.iter().flat_map(|frame| frame.events().iter().rev());
        events.take(max).map(|event| event.event.clone()).collect()
    }

    /// The event of that number, if it is in memory.
    pub(crate) fn event(&self, wanted: u64) -> Option<Arc<StoredEvent>> {
        let frame = {
            let tail = read_lock(&self.0);
            let at = tail.frames.binary_search_by_key(&lsn_of(wanted), |frame| frame.lsn).ok()?;
            tail.frames[at].clone()
        };
        let place = usize::try_from(wanted - number(lsn_of(wanted), 0)).ok()?;
        Some(frame.events().get(place)?.event.clone())
    }
}
