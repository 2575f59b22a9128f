//! A request is given its place in the log, without the events that were there before.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use crate::model::EventId;
use crate::store::{AppendError, Durable};

use super::committer::Committer;
use super::dedup::NEVER_ASKED;
use super::group::Waiting;
use super::inbox::Append;
use super::index::{IndexError, Seen};
use super::log::DiskError;
use super::read_lock;
use super::record::{Dedup, DedupKey};
use super::request::{Prepared, Slot};
use super::shared::Shared;
use super::state::{Effects, lsn_of, number};

/// What is known of an event's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// The event repeats that one.
    Repeats(EventId),
    /// The key was there, with other content.
    Reused,
    Nothing,
}

fn judge(shared: &Shared, seen: Option<Seen>, dedup: Dedup, now_ms: u64) -> Found {
    match seen {
        Some(seen) if seen.repeated_by(dedup.content, now_ms) => Found::Repeats(EventId::new(
            crate::model::Timestamp::from_millis(seen.received_ms),
            shared.identity.store,
            seen.number,
        )),
        Some(seen) if seen.content != dedup.content => Found::Reused,
        _ => Found::Nothing,
    }
}

/// Looks keys up in the index, where the request was received: the committer must not wait for it.
/// Answers what it found, and the state of the recent keys when it was asked.
pub(super) fn known(
    shared: &Shared,
    keys: &[Option<Dedup>],
    now_ms: u64,
) -> Result<(Vec<Slot>, u64), IndexError> {
    let asked_at = shared.keys_dropped.load(Ordering::Acquire);
    let index = read_lock(&shared.index);
    let Some(index) = index.as_ref() else {
        return Ok((vec![Slot::New; keys.len()], NEVER_ASKED));
    };
    let slots = keys.iter().map(|dedup| {
        let Some(dedup) = *dedup else { return Ok(Slot::New) };
        Ok(match judge(shared, index.seen(&dedup.key, now_ms)?, dedup, now_ms) {
            Found::Repeats(id) => Slot::Known(id),
            Found::Reused => {
                reused(shared, dedup.key);
                Slot::New
            }
            Found::Nothing => Slot::New,
        })
    });
    Ok((slots.collect::<Result<_, IndexError>>()?, asked_at))
}

fn reused(shared: &Shared, key: DedupKey) {
    let count = shared.keys_reused.fetch_add(1, Ordering::Relaxed) + 1;
    tracing::debug!(key = ?&key[..4], count, "a key came again with other content: a new event");
}

impl Committer {
    pub(super) fn append(&mut self, mut append: Append) {
        match self.repeated(&mut append.request) {
            Ok(Some(first_end)) if append.request.events.is_empty() => {
                let (ids, duplicates) = append.request.ids(self.shared.identity.store, 0);
                return self.answer(append, Durable::new(ids, duplicates), first_end);
            }
            Ok(_) => {}
            Err(error) => return Self::refuse(append, &DiskError::Other(error.reason)),
        }
        let bytes = append.request.frame.size();
        let bytes_max = self.log.frame_bytes_max();
        if bytes > bytes_max {
            let clip = |n| usize::try_from(n).unwrap_or(usize::MAX);
            let error = AppendError::TooLarge { bytes: clip(bytes), bytes_max: clip(bytes_max) };
            return drop(append.reply.send(Err(error)));
        }
        if let Some(target) = self.unregistered(&append.request) {
            let reason = super::committer::unknown(crate::model::TargetNumber(target));
            return Self::refuse(append, &DiskError::Other(reason.0));
        }
        if let Err(error) = self.ready(bytes) {
            return Self::refuse(append, &error);
        }
        self.place(append);
    }

    /// Room for a request, behind the records that had none before.
    fn ready(&mut self, bytes: u64) -> Result<(), DiskError> {
        self.place_kept()?;
        if self.would_roll(bytes) && self.is_full() {
            return Err(self.no_room());
        }
        self.make_room(bytes)
    }

    fn place(&mut self, append: Append) {
        let Append { mut request, reply } = append;
        let store = self.shared.identity.store;
        let lsn = self.log.place(&mut request.frame);
        // The frame stays as it is from here on: its effects move to whom they concern.
        let none = Effects::nothing();
        let effects = std::mem::replace(&mut request.effects, none);
        let entry = self.entry(lsn, &request.frame, effects);
        let received_ms = request.received_at.as_millis();
        for (place, event) in (0u16..).zip(&request.events) {
            if let Some(Dedup { key, content }) = event.dedup {
                let seen = Seen { number: number(lsn, place), received_ms, content };
                self.group.undo(self.recent.put(key, seen, entry.end));
            }
        }
        let (ids, duplicates) = request.ids(store, lsn);
        let end = entry.end;
        self.group.request(entry, request.into_tail(store, lsn, end));
        self.group.wait(Waiting::Append { reply, durable: Durable::new(ids, duplicates) });
    }

    /// Takes events out that repeat one that the index did not know when it was asked, or one of the
    /// same request. Answers up to where the log must be durable for the repeated ones.
    fn repeated(&mut self, request: &mut Prepared) -> Result<Option<u64>, IndexError> {
        let now_ms = request.received_at.as_millis();
        let missed = self.recent.missed(request.asked_at);
        let mut known_to = (request.events.len() < request.slots.len()).then_some(0);
        // Place in the request's slots of each event that is still there.
        let places: Vec<usize> =
            (0..request.slots.len()).filter(|i| request.slots[*i] == Slot::New).collect();
        let mut found = Vec::new();
        let mut newest: HashMap<DedupKey, usize> = HashMap::new();
        for (i, event) in request.events.iter().enumerate() {
            let Some(dedup) = event.dedup else { continue };
            let earlier = if request.events.len() > 1 { newest.insert(dedup.key, i) } else { None };
            let mut seen = self.recent.get(&dedup.key);
            if seen.is_none() && missed && earlier.is_none() {
                match &*read_lock(&self.shared.index) {
                    Some(index) => seen = index.seen(&dedup.key, now_ms)?,
                    // Refused, it might never come again; taken in, it may be there twice.
                    None => self.shared.rebuild.unchecked(),
                }
            }
            match (earlier, judge(&self.shared, seen, dedup, now_ms)) {
                (Some(earlier), _) => {
                    if request.events[earlier].dedup == Some(dedup) {
                        found.push((i, Slot::Same(places[earlier])));
                    } else {
                        reused(&self.shared, dedup.key);
                    }
                }
                (None, Found::Repeats(id)) => {
                    // The first is durable when the log is durable behind its place.
                    known_to = known_to.max(Some(lsn_of(id.number()) + 1));
                    found.push((i, Slot::Known(id)));
                }
                (None, Found::Reused) => reused(&self.shared, dedup.key),
                (None, Found::Nothing) => {}
            }
        }
        if found.is_empty() {
            return Ok(known_to);
        }
        for (i, slot) in &found {
            request.slots[places[*i]] = *slot;
        }
        let mut i = 0;
        request.events.retain(|_| {
            i += 1;
            found.binary_search_by_key(&(i - 1), |(i, _)| *i).is_err()
        });
        // A smaller request always fits where the larger one did.
        let _ = request.encode();
        Ok(known_to)
    }

    fn unregistered(&self, request: &Prepared) -> Option<u16> {
        let count = read_lock(&self.shared.targets).len();
        let highest = request.events.iter().filter_map(|event| event.targets.last()).max();
        highest.copied().filter(|target| usize::from(*target) >= count)
    }
}
