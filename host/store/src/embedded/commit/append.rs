//! Places a request in the log, without the events that repeat a stored one.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use dispatcher_model::{EventId, RepetitionKey};

use super::committer::Committer;
use super::group::Waiting;
use crate::AppendError;
use crate::embedded::core::inbox::{Append, Placed};
use crate::embedded::core::prepared::{Prepared, Slot};
use crate::embedded::core::shared::Shared;
use crate::embedded::format::entry::Effects;
use crate::embedded::format::event_number::{lsn_of, number};
use crate::embedded::format::frame::{Frame, Kind};
use crate::embedded::format::record::Unreadable;
use crate::embedded::index::recent::{KeyWindow, NEVER_ASKED};
use crate::embedded::index::rows::{IndexError, Seen};
use crate::embedded::log::recent::TailFrame;
use crate::embedded::log::writer::DiskError;
use crate::embedded::platform::locks::read_lock;

/// The event that one with the same key repeats, if it was received within the window.
fn repeated(shared: &Shared, seen: Option<Seen>, window: &KeyWindow) -> Option<EventId> {
    let seen = seen.filter(|seen| window.has(seen.received_ms))?;
    let received = dispatcher_model::Timestamp::from_millis(seen.received_ms);
    Some(EventId::new(received, shared.identity.store, seen.number))
}

/// Looks keys up in the index on the receiving thread, so that the committer does not wait for it.
/// Returns what it found, and the state of the recent keys at that time.
pub(crate) fn known(
    shared: &Shared,
    keys: &[Option<RepetitionKey>],
    now_ms: u64,
    window_ms: u64,
) -> (Vec<Slot>, u64) {
    let asked_at = shared.keys_dropped.load(Ordering::Acquire);
    let window = shared.window(now_ms, window_ms);
    let from_ms = window.begins_ms();
    let found = shared.try_index(|index| {
        let slots = keys.iter().map(|key| {
            let Some(key) = key else { return Ok(Slot::New) };
            let seen = index.seen(key, from_ms, &|seen| window.has(seen.received_ms))?;
            let id = repeated(shared, seen, &window);
            Ok(id.map_or(Slot::New, Slot::Known))
        });
        slots.collect::<Result<_, IndexError>>()
    });
    match found {
        Some(Ok(slots)) => (slots, asked_at),
        // Without an answer of the index the keys are unknown: a request is never refused for that.
        _ => (vec![Slot::New; keys.len()], NEVER_ASKED),
    }
}

impl Committer {
    pub(crate) fn append(&mut self, mut append: Append) {
        match self.repeated(&mut append.request) {
            Ok(Some(first_end)) if append.request.new_events() == 0 => {
                return self.answer(append, first_end);
            }
            Ok(_) => {}
            Err(error) => return Self::refuse(append, &DiskError::Repetition(error)),
        }
        let bytes = append.request.frame.size();
        let bytes_max = self.log.frame_bytes_max();
        if bytes > bytes_max {
            let clip = |n| usize::try_from(n).unwrap_or(usize::MAX);
            let error = AppendError::TooLarge { bytes: clip(bytes), bytes_max: clip(bytes_max) };
            return drop(append.reply.send(Err(error)));
        }
        if let Some(target) = self.unregistered(&append.request) {
            let reason =
                crate::embedded::core::inbox::unknown(dispatcher_model::TargetNumber(target));
            return Self::refuse(append, &DiskError::Store(reason));
        }
        if let Err(error) = self.ready(bytes) {
            return Self::refuse(append, &error);
        }
        self.place(append);
    }

    /// Makes room for a request, after the records that the disk refused before.
    fn ready(&mut self, bytes: u64) -> Result<(), DiskError> {
        self.place_unwritten()?;
        if self.would_roll(bytes) && self.is_full() {
            return Err(self.no_room());
        }
        self.make_room(bytes)
    }

    fn place(&mut self, append: Append) {
        let Append { mut request, reply, .. } = append;
        let lsn = self.log.place(&mut request.frame);
        // The effects go to whom they concern.
        let effects = std::mem::replace(&mut request.effects, Effects::nothing());
        let entry = self.entry(lsn, &request.frame, effects);
        if let Effects::Request { received_ms, events, keys, routed } = &entry.effects {
            for &(place, key) in keys {
                let seen = Seen { number: number(lsn, place), received_ms: *received_ms };
                self.group.undo(self.recent.put(key, seen, entry.end));
            }
            // A request for no target would only push out one that a target still needs.
            let tail = (!routed.is_empty()).then(|| {
                let frame = std::mem::replace(&mut request.frame, Frame::empty(Kind::Request));
                let targets = routed.iter().map(|r| r.target).collect();
                let (store, place) = (self.shared.identity.store, (lsn, entry.end));
                TailFrame::new(store, place, targets, *events as usize, frame.into_payload())
            });
            self.group.request(entry, tail);
        }
        self.group.wait(Waiting::Append { reply, placed: Placed { request, lsn } });
    }

    /// Leaves out events that repeat one of this request, or one that the index did not yet know when it
    /// was asked. Returns up to where the log must be durable for the repeated ones.
    fn repeated(&mut self, request: &mut Prepared) -> Result<Option<u64>, Unreadable> {
        let window = self.shared.window(request.received_at.as_millis(), request.window_ms);
        let missed = self.recent.missed(request.asked_at);
        let Effects::Request { events, keys, .. } = &request.effects else { return Ok(None) };
        let mut known_to = ((*events as usize) < request.slots.len()).then_some(0);
        let mut found = Vec::new();
        let mut first: HashMap<RepetitionKey, usize> = HashMap::new();
        for &(place, key) in keys {
            let place = usize::from(place);
            if keys.len() > 1 {
                let earlier = *first.entry(key).or_insert(place);
                if earlier < place {
                    found.push((place, Slot::Same(earlier)));
                    continue;
                }
            }
            let mut seen = self.recent.get(&key);
            if seen.is_none() && missed {
                let fits = |seen: Seen| window.has(seen.received_ms);
                match self.shared.try_index(|index| index.seen(&key, window.begins_ms(), &fits)) {
                    Some(Ok(found)) => seen = found,
                    // A refused event might never be sent again; an accepted one may be stored twice.
                    _ => self.shared.rebuild.unchecked(),
                }
            }
            if let Some(id) = repeated(&self.shared, seen, &window) {
                // The first is durable when the log is durable behind its place.
                known_to = known_to.max(Some(lsn_of(id.number()) + 1));
                found.push((place, Slot::Known(id)));
            }
        }
        if !found.is_empty() {
            leave_out(request, &found)?;
        }
        Ok(known_to)
    }

    fn unregistered(&self, request: &Prepared) -> Option<u16> {
        let Effects::Request { routed, .. } = &request.effects else { return None };
        let highest = routed.last()?.target;
        let count = read_lock(&self.shared.targets).len();
        (usize::from(highest) >= count).then_some(highest)
    }
}

/// `found`: places among the new events, and what each repeats.
fn leave_out(request: &mut Prepared, found: &[(usize, Slot)]) -> Result<(), Unreadable> {
    // Place in the request's slots of each event that was new.
    let new: Vec<usize> =
        (0..request.slots.len()).filter(|i| request.slots[*i] == Slot::New).collect();
    for (place, slot) in found {
        request.slots[new[*place]] = match *slot {
            Slot::Same(earlier) => Slot::Same(new[earlier]),
            other => other,
        };
    }
    let places: Vec<usize> = found.iter().map(|(place, _)| *place).collect();
    request.leave_out(&places)
}
