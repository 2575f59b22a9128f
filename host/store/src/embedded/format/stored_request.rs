//! A request read from the log, with its events in the form of the model.

use std::sync::Arc;

use bytes::Bytes;
use dispatcher_model::{
    Attributes, EventId, Headers, Severity, StoredEvent, TargetNumber, Timestamp,
};

use super::event_number::{lsn_of, number};
use super::record::{self, Unreadable, decode};

#[derive(Debug)]
pub(crate) struct TailEvent {
    pub targets: Vec<u16>,
    pub event: Arc<StoredEvent>,
}

/// An event and how it came in.
#[derive(Debug)]
pub(crate) struct Origin {
    pub event: StoredEvent,
    pub targets: Vec<u16>,
    pub unrouted: Vec<(Arc<str>, String)>,
    pub verified_at: Timestamp,
    pub scheme: String,
    pub key: u16,
    pub config: u64,
}

/// An event with the targets that it was routed to.
#[derive(Debug)]
pub(crate) struct Listed {
    pub event: StoredEvent,
    pub targets: Vec<TargetNumber>,
}

/// A request as it lies in the log.
#[derive(Debug)]
pub(crate) struct Read<'a> {
    lsn: u64,
    record: record::Request<'a>,
    headers: Arc<Headers>,
    source: Arc<str>,
}

impl<'a> Read<'a> {
    pub(crate) fn new(lsn: u64, payload: &'a [u8]) -> Result<Self, Unreadable> {
        Ok(Self::of(lsn, decode(payload)?))
    }

    fn of(lsn: u64, record: record::Request<'a>) -> Self {
        let headers = Arc::new(record.headers.iter().map(|(name, v)| (*name, &***v)).collect());
        Self { lsn, headers, source: record.source.into(), record }
    }

    /// The event of that number out of a record of a moved one.
    pub(crate) fn moved(number: u64, store: u16, payload: &'a [u8]) -> Option<Origin> {
        let record::Moved { about, request } = decode(payload).ok()?;
        let mut origin = Self::of(lsn_of(number), request).origin(store, 0)?;
        origin.event.id = EventId::new(origin.event.received_at, store, number);
        (about.number == number).then_some(origin)
    }

    pub(crate) fn received_at(&self) -> Timestamp {
        Timestamp::from_millis(self.record.received_ms)
    }

    /// Numbers and places of its events for a target.
    pub(crate) fn numbers(&self, target: u16) -> impl Iterator<Item = (u64, u16)> {
        (0u16..)
            .zip(&self.record.events)
            .filter(move |(_, event)| event.targets.contains(&target))
            .map(|(place, _)| (number(self.lsn, place), place))
    }

    /// The event at that place with what else the request says of it.
    pub(crate) fn origin(&self, store: u16, place: u16) -> Option<Origin> {
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
    pub(crate) fn event(&self, store: u16, place: u16) -> Option<StoredEvent> {
        let event = self.record.events.get(usize::from(place))?;
        Some(self.stored(store, place, event, Bytes::copy_from_slice(event.data)))
    }

    /// All events with their targets, one at a time. Their bytes are copied.
    pub(crate) fn listed(&self, store: u16) -> impl Iterator<Item = Listed> {
        (0u16..).zip(&self.record.events).map(move |(place, event)| Listed {
            event: self.stored(store, place, event, Bytes::copy_from_slice(event.data)),
            targets: event.targets.iter().copied().map(TargetNumber).collect(),
        })
    }

    /// All events with their targets; their bytes are slices of `payload`, which this was read from.
    pub(crate) fn tail_events(&self, store: u16, payload: &Bytes) -> Vec<TailEvent> {
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
