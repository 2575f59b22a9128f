//! A request on its way into the log: encoded where it was received, not by the committer.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::ser::{SerializeSeq as _, Serializer};
use serde_bytes::Bytes as Raw;

use crate::{Durable, NewRequest};
use dispatcher_model::{
    Attributes, EventId, Headers, Planned, Severity, Shape, StoredEvent, Timestamp,
};

use super::dedup::key_of;
use super::frame::{Frame, Kind};
use super::record::{self, Dedup, Unreadable, decode};
use super::state::{Effects, lsn_of, number};
use super::tail::TailEvent;

/// What becomes of one event of a request, in the order of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    New,
    /// It was there before.
    Known(EventId),
    /// As the event in that slot of the same request.
    Same(usize),
}

/// A request that is encoded. What its sender gave is let go of here, on the thread that made it:
/// memory that another thread gives back is dear to find again.
#[derive(Debug)]
pub(super) struct Prepared {
    pub received_at: Timestamp,
    pub slots: Vec<Slot>,
    /// Of the new events only; their ids are given with their place in the log.
    pub effects: Effects,
    pub frame: Frame,
    /// State of the recent keys when the index was asked.
    pub asked_at: u64,
}

impl Prepared {
    /// `slots` says which events were found in the index already, when `asked_at` was the state of
    /// the recent keys. `None` when it exceeds 4 GiB.
    pub(super) fn new(
        mut request: NewRequest,
        keys: &[Option<Dedup>],
        slots: Vec<Slot>,
        asked_at: u64,
    ) -> Option<Self> {
        for planned in &mut request.events {
            planned.targets.sort_unstable();
            planned.targets.dedup();
        }
        let events = OutgoingEvents { planned: &request.events, keys, slots: &slots };
        let effects = Effects::of_request(
            request.received_at.as_millis(),
            events.iter().map(|(event, key)| (key, event.targets.iter().map(|target| target.0))),
        );
        let data_bytes: usize = events.iter().map(|(event, _)| event.event.data.len() + 512).sum();
        let targets = effects.targets();
        let record = Outgoing {
            targets: &targets,
            received_ms: request.received_at.as_millis(),
            verified_ms: request.verified_at.as_millis(),
            source: &request.source,
            scheme: &request.scheme,
            key: request.key,
            config: request.config,
            headers: OutgoingHeaders(&request.headers),
            events,
        };
        let header_bytes = request.headers.bytes() + 8 * request.headers.len();
        let frame = record::frame(Kind::Request, &record, data_bytes + header_bytes + 128)?;
        Some(Self { received_at: request.received_at, slots, effects, frame, asked_at })
    }

    /// About what it takes in memory and on disk.
    pub(super) fn size(&self) -> usize {
        usize::try_from(self.frame.size()).unwrap_or(usize::MAX)
    }

    /// How many events are new.
    pub(super) const fn new_events(&self) -> usize {
        match &self.effects {
            Effects::Request { events, .. } => *events as usize,
            _ => 0,
        }
    }

    /// Takes events out again, by their places among the new ones, ascending.
    pub(super) fn leave_out(&mut self, places: &[usize]) -> Result<(), Unreadable> {
        let mut record: record::Request<'_> = decode(self.frame.payload())?;
        let mut i = 0;
        record.events.retain(|_| {
            i += 1;
            places.binary_search(&(i - 1)).is_err()
        });
        let effects = Effects::read_request(&record);
        record.targets = effects.targets();
        let frame = record::frame(Kind::Request, &record, self.size()).ok_or(Unreadable)?;
        (self.effects, self.frame) = (effects, frame);
        Ok(())
    }

    /// Ids for all slots, the new ones from `lsn` on; and how many were there before.
    pub(super) fn durable(&self, store: u16, lsn: u64) -> Durable {
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
        Durable::new(ids, duplicates)
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

/// Written as a [`record::Request`] is, without being made into one.
#[derive(Serialize)]
struct Outgoing<'a> {
    targets: &'a [u16],
    received_ms: u64,
    verified_ms: u64,
    source: &'a str,
    scheme: &'a str,
    key: u16,
    config: u64,
    headers: OutgoingHeaders<'a>,
    events: OutgoingEvents<'a>,
}

struct OutgoingHeaders<'a>(&'a Headers);

impl Serialize for OutgoingHeaders<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_seq(self.0.iter().map(|(name, value)| (name, Raw::new(value))))
    }
}

/// The new ones of a request's events.
struct OutgoingEvents<'a> {
    planned: &'a [Planned],
    keys: &'a [Option<Dedup>],
    slots: &'a [Slot],
}

impl<'a> OutgoingEvents<'a> {
    fn iter(&self) -> impl Iterator<Item = (&'a Planned, Option<Dedup>)> {
        let all = self.planned.iter().zip(self.keys).zip(self.slots);
        all.filter(|(_, slot)| **slot == Slot::New).map(|((planned, key), _)| (planned, *key))
    }
}

impl Serialize for OutgoingEvents<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut events = out.serialize_seq(Some(self.iter().count()))?;
        for (planned, dedup) in self.iter() {
            events.serialize_element(&outgoing(planned, dedup))?;
        }
        events.end()
    }
}

fn outgoing(planned: &Planned, dedup: Option<Dedup>) -> record::Event<'_> {
    let Planned { event, targets, unrouted } = planned;
    let attributes = &event.attributes;
    record::Event {
        targets: targets.iter().map(|target| target.0).collect(),
        event_type: &attributes.event_type,
        subject: attributes.subject.as_deref(),
        time: attributes.time.as_deref(),
        title: &attributes.title,
        link: attributes.link.as_deref(),
        severity: attributes.severity as u8,
        other_shape: event.shape == Shape::Other,
        dedup,
        unrouted: unrouted.iter().map(|u| (&*u.target, u.reason.as_str())).collect(),
        data: Raw::new(&event.data),
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
        Ok(Self::of(lsn, decode(payload)?))
    }

    fn of(lsn: u64, record: record::Request<'a>) -> Self {
        let headers = Arc::new(record.headers.iter().map(|(name, v)| (*name, &***v)).collect());
        Self { lsn, headers, source: record.source.into(), record }
    }

    /// The event of that number out of a record of a moved one.
    pub(super) fn moved(number: u64, store: u16, payload: &'a [u8]) -> Option<Origin> {
        let record::Moved { about, request } = decode(payload).ok()?;
        let mut origin = Self::of(lsn_of(number), request).origin(store, 0)?;
        origin.event.id = EventId::new(origin.event.received_at, store, number);
        (about.number == number).then_some(origin)
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
        Some(self.stored(store, place, event, Bytes::copy_from_slice(event.data)))
    }

    /// All events with their targets; their bytes are slices of `payload`, which this was read from.
    pub(super) fn tail_events(&self, store: u16, payload: &Bytes) -> Vec<TailEvent> {
        let events = (0u16..).zip(&self.record.events).map(|(place, event)| TailEvent {
            targets: event.targets.clone(),
            event: Arc::new(self.stored(store, place, event, payload.slice_ref(event.data))),
        });
        events.collect()
    }

    fn stored(
        &self,
        store: u16,
        place: u16,
        event: &record::Event<'_>,
        data: Bytes,
    ) -> StoredEvent {
        let severity = Severity::ALL.get(usize::from(event.severity)).copied();
        StoredEvent {
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
            data,
        }
    }
}
