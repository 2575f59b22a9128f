//! A decoded frame without the bodies of events, for the state and the index.

use std::sync::Arc;

use dispatcher_model::RepetitionKey;

use super::frame::{Header, Kind};
use super::record::{
    Act, Checkpoint, DeadRange, Event, Lost, Moved, MovedRows, Registry, Request, Settlements,
    Unreadable, decode,
};

/// A decoded frame without the bodies of events.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub lsn: u64,
    pub end: u64,
    pub epoch: u32,
    pub payload_crc: u32,
    pub effects: Effects,
}

#[derive(Clone, Debug)]
pub(crate) enum Effects {
    Request {
        received_ms: u64,
        events: u32,
        keys: Vec<(u16, RepetitionKey)>,
        routed: Vec<Routed>,
    },
    Settlements(Arc<Settlements>),
    Registry(Arc<Registry>),
    DeadRange(Arc<DeadRange>),
    Act(Arc<Act>),
    Checkpoint(Arc<Checkpoint>),
    /// Only for the index: counts and cursors do not change.
    Moved(Arc<MovedRows>),
    Lost(Lost),
    /// The summary of the segment that it ends: nothing new.
    Summary,
}

impl Effects {
    /// `events`: the key of each and its targets.
    pub(crate) fn of_request<T: Iterator<Item = u16>>(
        received_ms: u64,
        events: impl Iterator<Item = (Option<RepetitionKey>, T)>,
    ) -> Self {
        let (mut keys, mut count) = (Vec::new(), 0u16);
        let routed = routed(events.map(|(key, targets)| {
            keys.extend(key.map(|key| (count, key)));
            count += 1;
            targets
        }));
        Self::Request { received_ms, events: count.into(), keys, routed }
    }

    pub(crate) fn read_request(request: &Request<'_>) -> Self {
        let event = |event: &Event<'_>| (event.dedup, event.targets.clone().into_iter());
        Self::of_request(request.received_ms, request.events.iter().map(event))
    }

    /// Targets whose state they change; a target may come twice.
    pub(crate) fn targets(&self) -> Vec<u16> {
        match self {
            Self::Request { routed, .. } => routed.iter().map(|r| r.target).collect(),
            Self::Settlements(record) => record.targets.iter().map(|t| t.target).collect(),
            Self::Registry(record) => record.targets.iter().map(|(number, _)| *number).collect(),
            Self::DeadRange(record) => vec![record.target],
            Self::Act(record) => vec![record.target],
            Self::Checkpoint(record) => (0u16..).zip(&record.targets).map(|(n, _)| n).collect(),
            // Whichever there are.
            Self::Lost(_) => (0..=u16::MAX).collect(),
            Self::Moved(_) | Self::Summary => Vec::new(),
        }
    }

    /// Whether they make dead letters of what an index has no rows of.
    pub(crate) fn gives_up_lost_rows(&self) -> bool {
        match self {
            Self::DeadRange(record) => record.is_of_lost_rows(),
            Self::Act(record) => record.what.lists_lost_rows(),
            _ => false,
        }
    }

    /// Those of a request without events.
    pub(crate) const fn nothing() -> Self {
        Self::Request { received_ms: 0, events: 0, keys: Vec::new(), routed: Vec::new() }
    }
}

/// What a request brings one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Routed {
    pub target: u16,
    pub count: u32,
    /// Places in the request of its first and last event for that target.
    pub first: u16,
    pub last: u16,
}

/// Counts for each target, ascending, what a request brings it; `lists` are the targets of its events.
pub(crate) fn routed<T: Iterator<Item = u16>>(lists: impl Iterator<Item = T>) -> Vec<Routed> {
    let mut all: Vec<Routed> = Vec::new();
    for (place, targets) in (0u16..).zip(lists) {
        for target in targets {
            match all.binary_search_by_key(&target, |r| r.target) {
                Ok(i) => {
                    all[i].count += 1;
                    all[i].last = place;
                }
                Err(i) => all.insert(i, Routed { target, count: 1, first: place, last: place }),
            }
        }
    }
    all
}

impl Entry {
    pub(crate) fn read(header: &Header, payload: &[u8]) -> Result<Self, Unreadable> {
        let effects = match Kind::from_byte(header.kind).ok_or(Unreadable)? {
            Kind::Request => Effects::read_request(&decode(payload)?),
            Kind::Settlements => Effects::Settlements(Arc::new(decode(payload)?)),
            Kind::Registry => Effects::Registry(Arc::new(decode(payload)?)),
            Kind::DeadRange => Effects::DeadRange(Arc::new(decode(payload)?)),
            Kind::Moved => Effects::Moved(Arc::new(decode::<Moved<'_>>(payload)?.about)),
            Kind::Act => Effects::Act(Arc::new(decode(payload)?)),
            Kind::Summary => Effects::Summary,
            Kind::Checkpoint | Kind::CheckpointPart => {
                Effects::Checkpoint(Arc::new(decode(payload)?))
            }
            Kind::Lost => Effects::Lost(Lost::read(payload)),
        };
        Ok(Self {
            lsn: header.lsn,
            end: header.end(),
            epoch: header.epoch,
            payload_crc: header.payload_crc,
            effects,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_a_request_brings_each_target() {
        let lists = [vec![1, 4], vec![], vec![0, 4]];
        let brings = |target, count, first, last| Routed { target, count, first, last };
        assert_eq!(
            routed(lists.into_iter().map(Vec::into_iter)),
            vec![brings(0, 1, 2, 2), brings(1, 1, 0, 0), brings(4, 2, 0, 2)]
        );
    }
}
