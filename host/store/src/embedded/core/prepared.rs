//! A request on its way into the log: encoded where it was received, not by the committer.

use dispatcher_model::{EventId, Headers, Planned, RepetitionKey, Shape, Timestamp};
use serde::Serialize;
use serde::ser::{SerializeSeq as _, Serializer};
use serde_bytes::Bytes as Raw;

use crate::embedded::format::entry::Effects;
use crate::embedded::format::event_number::number;
use crate::embedded::format::frame::{Frame, Kind};
use crate::embedded::format::record::{self, Unreadable, decode};
use crate::embedded::format::repetition_key::key_of;
use crate::embedded::limits::millis;
use crate::{Durable, NewRequest};

/// What one event of a request is: new, or a repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    New,
    /// A repetition of a stored event.
    Known(EventId),
    /// A repetition of the event in that slot of the same request.
    Same(usize),
}

/// An encoded request. The original is freed here, on the thread that made it: memory that another
/// thread frees is expensive to reuse.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub received_at: Timestamp,
    pub slots: Vec<Slot>,
    /// Only of the new events. They get their ids with their place in the log.
    pub effects: Effects,
    pub frame: Frame,
    /// Generation of the recent keys when the index was asked.
    pub asked_at: u64,
    /// How long an event with the same key counts as the same one.
    pub window_ms: u64,
}

impl Prepared {
    /// `slots` says which events were found in the index already, when `asked_at` was the state of
    /// the recent keys. `None` when it exceeds 4 GiB.
    pub(crate) fn new(
        mut request: NewRequest,
        keys: &[Option<RepetitionKey>],
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
        let (received_at, window_ms) = (request.received_at, millis(request.repeat_window));
        Some(Self { received_at, slots, effects, frame, asked_at, window_ms })
    }

    /// About the bytes it takes in memory and on disk.
    pub(crate) fn size(&self) -> usize {
        usize::try_from(self.frame.size()).unwrap_or(usize::MAX)
    }

    /// How many events are new.
    pub(crate) const fn new_events(&self) -> usize {
        match &self.effects {
            Effects::Request { events, .. } => *events as usize,
            _ => 0,
        }
    }

    /// Leaves out events, by their places among the new ones, ascending.
    pub(crate) fn leave_out(&mut self, places: &[usize]) -> Result<(), Unreadable> {
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

    /// The ids of all slots, new ones numbered from `lsn` on; and which ones are repetitions.
    pub(crate) fn durable(&self, store: u16, lsn: u64) -> Durable {
        let mut ids: Vec<EventId> = Vec::with_capacity(self.slots.len());
        let (mut place, mut duplicates) = (0u16, Vec::new());
        for (slot, at) in self.slots.iter().zip(0u16..) {
            let id = match *slot {
                Slot::New => {
                    place += 1;
                    EventId::new(self.received_at, store, number(lsn, place - 1))
                }
                Slot::Known(id) => id,
                Slot::Same(earlier) => ids[earlier],
            };
            if *slot != Slot::New {
                duplicates.push(at);
            }
            ids.push(id);
        }
        Durable::new(ids, duplicates)
    }
}

/// The repetition keys of the events, with the source in them.
pub(crate) fn keys(request: &NewRequest) -> Vec<Option<RepetitionKey>> {
    let key = |planned: &Planned| Some(key_of(&request.source, planned.event.dedup?));
    request.events.iter().map(key).collect()
}

/// Serializes like [`record::Request`], without building one.
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
    keys: &'a [Option<RepetitionKey>],
    slots: &'a [Slot],
}

impl<'a> OutgoingEvents<'a> {
    fn iter(&self) -> impl Iterator<Item = (&'a Planned, Option<RepetitionKey>)> {
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

fn outgoing(planned: &Planned, dedup: Option<RepetitionKey>) -> record::Event<'_> {
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
