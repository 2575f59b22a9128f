//! One place of damage: where it is, what was there, and which targets it concerns.

use std::path::PathBuf;

use dispatcher_model::{EventId, Timestamp};

use crate::embedded::format::event_number::number;
use crate::embedded::format::frame::{ALIGN, HEADER_BYTES, Header, Kind};
use crate::embedded::format::record::{self, decode};
use crate::embedded::format::segment_header::{Identity, SegmentHeader};
use crate::embedded::state::apply::State;
use crate::embedded::tools::IDS_MAX;

/// What was at a place that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lay {
    /// A record of that kind with one wrong bit, which a repair corrects.
    OneBit { kind: &'static str },
    /// A request, with the ids that can still be read. They may be wrong.
    Request { events: Vec<EventId> },
    /// A record of another kind, with the ids of its deliveries that can still be read.
    Record { kind: &'static str, events: Vec<EventId> },
    /// Any number of records.
    Unknown,
    /// The header of a file.
    Header,
    /// A whole file is missing.
    Segment,
    /// Something that is not a file, or is not one of this log, lies in its place.
    Irregular,
}

/// A target that has not read beyond a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concerned {
    pub target: String,
    /// Its pending deliveries in the whole log.
    pub pending: u64,
}

/// Deliveries of a target whose outcome is lost: each was delivered, or its retry is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsure {
    pub target: String,
    pub count: u64,
    /// The first of them.
    pub events: Vec<EventId>,
}

/// Events that the index knows to have been at a place: those with a repetition key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    pub count: u64,
    /// The first of them.
    pub events: Vec<EventId>,
}

/// Who will read a place and fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meets {
    /// The start of the daemon.
    Start,
    /// The rebuild of the index: the daemon starts, but its index does not become whole.
    Rebuild,
    /// Neither: the index has read the place before.
    Nothing,
}

/// A place of damage.
#[derive(Clone, Debug)]
pub struct Damage {
    pub segment: PathBuf,
    /// Where it begins in the file, in bytes.
    pub offset: u64,
    pub bytes: u64,
    pub what: &'static str,
    pub lay: Lay,
    /// Targets that may have lost deliveries there.
    pub concerned: Vec<Concerned>,
    /// Deliveries whose outcome was recorded there; the index may have it.
    pub unsure: Vec<Unsure>,
    /// Events that the index knows to have been there.
    pub known: Known,
    /// Who will read that place; `None`: unknown.
    pub meets: Option<Meets>,
    /// Whether a repair can bridge it.
    pub repairable: bool,
    /// Place in the log.
    pub(super) from: u64,
    pub(super) to: u64,
    /// Epoch of the frame before it.
    pub(super) epoch: u32,
    /// Header of its file, even if that file is missing.
    pub(super) header: Option<SegmentHeader>,
    /// The log begins with that file.
    pub(super) begins_log: bool,
}

impl Damage {
    /// The range of numbers, as in the ids of events, that events there may have had.
    #[must_use]
    pub fn numbers(&self) -> (u64, u64) {
        let (from, to) = self.covers();
        (number(from, 0), number(to, 0))
    }

    /// Places that events there may have had.
    pub(super) fn covers(&self) -> (u64, u64) {
        let missing = self.header.filter(|_| self.lay == Lay::Segment);
        (self.from, missing.map_or(self.to, |header| header.limit()))
    }

    /// Whether requests may have been there.
    #[must_use]
    pub const fn may_hold_requests(&self) -> bool {
        !matches!(self.lay, Lay::OneBit { .. } | Lay::Record { .. } | Lay::Header)
    }

    /// Whether outcomes of deliveries may have been there.
    pub(super) fn may_hold_outcomes(&self) -> bool {
        match self.lay {
            Lay::Record { kind, .. } => kind == kind_name(Kind::Settlements as u8),
            Lay::Unknown | Lay::Segment | Lay::Irregular => true,
            Lay::OneBit { .. } | Lay::Request { .. } | Lay::Header => false,
        }
    }

    /// Adds the targets that it concerns, once the whole log was read.
    pub(super) fn settle(&mut self, state: &State, read_from: Option<Option<u64>>) {
        let (_, end) = self.numbers();
        if self.may_hold_requests() {
            let waits = state.targets.iter().filter(|target| target.cursor < end);
            let concerned = waits.map(|target| Concerned {
                target: target.name.clone(),
                pending: target.counts.pending,
            });
            self.concerned = concerned.collect();
        }
        let is_read = |from: Option<u64>| from.is_none_or(|from| self.from >= from);
        self.meets = match self.lay {
            Lay::Header | Lay::Segment | Lay::Irregular => Some(Meets::Start),
            _ => read_from.map(|from| if is_read(from) { Meets::Start } else { Meets::Nothing }),
        };
    }

    /// The trial of a start went well.
    pub(super) fn start_works(&mut self) {
        if self.meets == Some(Meets::Start) {
            self.meets = Some(Meets::Rebuild);
        }
    }
}

/// The request behind a header that cannot be read, if there is exactly one.
pub(super) fn request_without_header(
    bytes: &[u8],
    lsn: u64,
    segment: SegmentHeader,
) -> Option<Lay> {
    let payload = bytes.get(HEADER_BYTES..)?;
    let (_, rest) = postcard::take_from_bytes::<record::Request<'_>>(payload).ok()?;
    if rest.len() as u64 >= ALIGN || rest.iter().any(|byte| *byte != 0) {
        return None;
    }
    let header = Header {
        kind: Kind::Request as u8,
        len: u32::try_from(payload.len()).ok()?,
        payload_crc: 0,
        lsn,
        durable_lsn: 0,
        epoch: 0,
    };
    let lay = salvage(&header, payload, segment.identity);
    matches!(&lay, Lay::Request { events } if !events.is_empty()).then_some(lay)
}

/// What can still be read of a frame with a damaged payload.
pub(super) fn salvage(header: &Header, payload: &[u8], identity: Identity) -> Lay {
    let events = match Kind::from_byte(header.kind) {
        Some(Kind::Request) => {
            let events = decode::<record::Request<'_>>(payload).map_or_else(
                |_| Vec::new(),
                |request| {
                    let received = Timestamp::from_millis(request.received_ms);
                    let places = (0u16..).zip(&request.events).take(IDS_MAX);
                    let id =
                        |place| EventId::new(received, identity.store, number(header.lsn, place));
                    places.map(|(place, _)| id(place)).collect()
                },
            );
            return Lay::Request { events };
        }
        Some(Kind::Settlements) => decode::<record::Settlements>(payload).map_or_else(
            |_| Vec::new(),
            |record| {
                let others = record.targets.iter().flat_map(|target| &target.others);
                let id = |settled: &record::Settled| {
                    let received = Timestamp::from_millis(settled.received_ms);
                    EventId::new(received, identity.store, settled.number)
                };
                others.take(IDS_MAX).map(id).collect()
            },
        ),
        Some(Kind::Moved) => {
            let moved = decode::<record::Moved<'_>>(payload).ok();
            moved.map(|moved| moved_id(&moved, identity)).into_iter().collect()
        }
        _ => Vec::new(),
    };
    Lay::Record { kind: kind_name(header.kind), events }
}

/// The event that a copy is of.
pub(super) fn moved_id(moved: &record::Moved<'_>, identity: Identity) -> EventId {
    let received = Timestamp::from_millis(moved.request.received_ms);
    EventId::new(received, identity.store, moved.about.number)
}

/// The name of a kind of record, for people.
pub(super) const fn kind_name(kind: u8) -> &'static str {
    match Kind::from_byte(kind) {
        Some(Kind::Request) => "request",
        Some(Kind::Settlements) => "settlements",
        Some(Kind::Registry) => "registry",
        Some(Kind::DeadRange) => "dead-range",
        Some(Kind::Act) => "act",
        Some(Kind::Checkpoint | Kind::CheckpointPart) => "checkpoint",
        Some(Kind::Moved) => "moved",
        Some(Kind::Summary) => "summary",
        Some(Kind::Lost) => "lost",
        None => "unknown",
    }
}
