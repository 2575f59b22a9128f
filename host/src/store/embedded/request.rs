//! A request on its way into the log: encoded where it was received, not by the committer.

use std::sync::Arc;

use serde_bytes::Bytes as Raw;

use crate::model::{
    Attributes, EventId, Headers, Planned, Severity, Shape, StoredEvent, Timestamp, Unrouted,
};
use crate::store::NewRequest;

use super::dedup::key_of;
use super::frame::{Frame, Kind};
use super::record::{self, Dedup, Unreadable, decode};
use super::state::{Effects, number, routed};
use super::tail::{TailEvent, TailFrame};

/// What becomes of one event of a request, in the order of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    New,
    /// It was there before.
    Known(EventId),
    /// As the event in that slot of the same request.
    Same(usize),
}

#[derive(Debug)]
pub(super) struct Prepared {
    source: Arc<str>,
    pub received_at: Timestamp,
    verified_at: Timestamp,
    scheme: Arc<str>,
    key: u16,
    config: u64,
    headers: Arc<Headers>,
    /// The new ones only; their ids are given with their place in the log.
    pub events: Vec<PreparedEvent>,
    pub slots: Vec<Slot>,
    /// Targets of any of the events, ascending.
    targets: Vec<u16>,
    pub effects: Effects,
    pub frame: Frame,
    /// State of the recent keys when the index was asked.
    pub asked_at: u64,
}

#[derive(Debug)]
pub(super) struct PreparedEvent {
    event: Arc<StoredEvent>,
    pub targets: Vec<u16>,
    shape: Shape,
    pub dedup: Option<Dedup>,
    unrouted: Vec<Unrouted>,
}

impl Prepared {
    /// `slots` says which events were found in the index already, when `asked_at` was the state of
    /// the recent keys. `None` when it exceeds 4 GiB.
    pub(super) fn new(
        request: NewRequest,
        keys: &[Option<Dedup>],
        slots: Vec<Slot>,
        asked_at: u64,
    ) -> Option<Self> {
        let headers = Arc::new(request.headers);
        let (source, received_at) = (request.source, request.received_at);
        let new = |slot: &Slot| *slot == Slot::New;
        let kept = request.events.into_iter().zip(keys).zip(&slots).filter(|(_, slot)| new(slot));
        let events =
            kept.map(|((planned, key), _)| prepare(planned, *key, &source, received_at, &headers));
        let mut prepared = Self {
            events: events.collect(),
            source,
            received_at,
            verified_at: request.verified_at,
            scheme: request.scheme,
            key: request.key,
            config: request.config,
            headers,
            slots,
            targets: Vec::new(),
            effects: Effects::nothing(),
            frame: Frame::empty(Kind::Request),
            asked_at,
        };
        prepared.encode()?;
        Some(prepared)
    }

    /// About what it takes in memory and on disk.
    pub(super) fn size(&self) -> usize {
        usize::try_from(self.frame.size()).unwrap_or(usize::MAX)
    }

    /// Writes frame and effects anew from the events that are left.
    pub(super) fn encode(&mut self) -> Option<()> {
        let keys = (0u16..).zip(&self.events).filter_map(|(i, event)| Some((i, event.dedup?)));
        let routed = routed(self.events.iter().map(|event| &event.targets[..]));
        self.targets = routed.iter().map(|r| r.target).collect();
        let received_ms = self.received_at.as_millis();
        let events = u32::try_from(self.events.len()).unwrap_or(u32::MAX);
        self.effects = Effects::Request { received_ms, events, keys: keys.collect(), routed };
        let record = record::Request {
            targets: self.targets.clone(),
            received_ms,
            verified_ms: self.verified_at.as_millis(),
            source: &self.source,
            scheme: &self.scheme,
            key: self.key,
            config: self.config,
            headers: self.headers.iter().map(|(name, v)| (name, Raw::new(v))).collect(),
            events: self.events.iter().map(PreparedEvent::record).collect(),
        };
        let header_bytes = self.headers.bytes() + 8 * self.headers.len();
        let hint = self.events.iter().map(|event| event.event.data.len() + 512).sum::<usize>();
        self.frame = record::frame(Kind::Request, &record, hint + header_bytes + 128)?;
        Some(())
    }

    /// Ids for all slots, the new ones from `lsn` on; and how many were there before.
    pub(super) fn ids(&self, store: u16, lsn: u64) -> (Vec<EventId>, usize) {
        let mut ids: Vec<EventId> = Vec::with_capacity(self.slots.len());
        let (mut place, mut duplicates) = (0u16, 0);
        for slot in &self.slots {
            let id = match *slot {
                Slot::New => {
                    place += 1;
                    EventId::new(self.received_at, store, number(lsn, place - 1))
                }
                Slot::Known(id) => id,
                Slot::Same(earlier) => ids[earlier],
            };
            duplicates += usize::from(*slot != Slot::New);
            ids.push(id);
        }
        (ids, duplicates)
    }

    /// What targets that keep up read.
    pub(super) fn into_tail(self, store: u16, lsn: u64, end: u64) -> TailFrame {
        let (bytes, targets, received_at) = (self.size(), self.targets, self.received_at);
        let events = (0u16..).zip(self.events).map(|(place, mut event)| {
            // Not shared yet: this changes in place.
            Arc::make_mut(&mut event.event).id =
                EventId::new(received_at, store, number(lsn, place));
            TailEvent { targets: event.targets, event: event.event }
        });
        TailFrame { lsn, end, bytes: bytes + 512, targets, events: events.collect() }
    }
}

/// Fingerprints of the events' keys.
pub(super) fn keys(request: &NewRequest) -> Vec<Option<Dedup>> {
    let key = |planned: &Planned| {
        let dedup = planned.event.dedup.as_ref()?;
        Some(Dedup { key: key_of(&request.source, &dedup.key), content: dedup.content })
    };
    request.events.iter().map(key).collect()
}

fn prepare(
    planned: Planned,
    dedup: Option<Dedup>,
    source: &Arc<str>,
    received_at: Timestamp,
    headers: &Arc<Headers>,
) -> PreparedEvent {
    let event = planned.event;
    let stored = StoredEvent {
        id: EventId::new(received_at, 0, 0),
        source: source.clone(),
        received_at,
        headers: headers.clone(),
        attributes: event.attributes,
        data: event.data,
    };
    let mut targets: Vec<u16> = planned.targets.iter().map(|target| target.0).collect();
    targets.sort_unstable();
    targets.dedup();
    PreparedEvent {
        event: Arc::new(stored),
        targets,
        shape: event.shape,
        dedup,
        unrouted: planned.unrouted,
    }
}

impl PreparedEvent {
    fn record(&self) -> record::Event<'_> {
        let attributes = &self.event.attributes;
        record::Event {
            targets: self.targets.clone(),
            event_type: &attributes.event_type,
            subject: attributes.subject.as_deref(),
            time: attributes.time.as_deref(),
            title: &attributes.title,
            link: attributes.link.as_deref(),
            severity: attributes.severity as u8,
            other_shape: self.shape == Shape::Other,
            dedup: self.dedup,
            unrouted: self.unrouted.iter().map(|u| (&*u.target, u.reason.as_str())).collect(),
            data: Raw::new(&self.event.data),
        }
    }
}

/// An event and how it came in.
#[derive(Debug)]
pub(super) struct Origin {
    pub event: StoredEvent,
    pub targets: Vec<u16>,
    pub unrouted: Vec<(Arc<str>, String)>,
    pub verified_at: Timestamp,
    pub scheme: String,
    pub key: u16,
    pub config: u64,
}

/// A request as it lies in the log.
#[derive(Debug)]
pub(super) struct Read<'a> {
    lsn: u64,
    record: record::Request<'a>,
    headers: Arc<Headers>,
    source: Arc<str>,
}

impl<'a> Read<'a> {
    pub(super) fn new(lsn: u64, payload: &'a [u8]) -> Result<Self, Unreadable> {
        let record: record::Request<'a> = decode(payload)?;
        let headers = Arc::new(record.headers.iter().map(|(name, v)| (*name, &***v)).collect());
        Ok(Self { lsn, headers, source: record.source.into(), record })
    }

    pub(super) fn received_at(&self) -> Timestamp {
        Timestamp::from_millis(self.record.received_ms)
    }

    /// Numbers and places of its events for a target.
    pub(super) fn numbers(&self, target: u16) -> impl Iterator<Item = (u64, u16)> {
        (0u16..)
            .zip(&self.record.events)
            .filter(move |(_, event)| event.targets.contains(&target))
            .map(|(place, _)| (number(self.lsn, place), place))
    }

    /// The event at that place with what else the request says of it.
    pub(super) fn origin(&self, store: u16, place: u16) -> Option<Origin> {
        let unrouted = &self.record.events.get(usize::from(place))?.unrouted;
        Some(Origin {
            event: self.event(store, place)?,
            targets: self.record.events.get(usize::from(place))?.targets.clone(),
            unrouted: unrouted.iter().map(|(t, r)| ((*t).into(), (*r).to_owned())).collect(),
            verified_at: Timestamp::from_millis(self.record.verified_ms),
            scheme: self.record.scheme.to_owned(),
            key: self.record.key,
            config: self.record.config,
        })
    }

    /// The event at that place. Its bytes are copied: it must not keep the whole request in memory.
    pub(super) fn event(&self, store: u16, place: u16) -> Option<StoredEvent> {
        let event = self.record.events.get(usize::from(place))?;
        let severity = Severity::ALL.get(usize::from(event.severity)).copied();
        Some(StoredEvent {
            id: EventId::new(self.received_at(), store, number(self.lsn, place)),
            source: self.source.clone(),
            received_at: self.received_at(),
            headers: self.headers.clone(),
            attributes: Attributes {
                event_type: event.event_type.to_owned(),
                subject: event.subject.map(str::to_owned),
                time: event.time.map(str::to_owned),
                title: event.title.to_owned(),
                severity: severity.unwrap_or(Severity::Critical),
                link: event.link.map(str::to_owned),
            },
            data: bytes::Bytes::copy_from_slice(event.data),
        })
    }
}
