//! Places a request in the log, without the events that repeat a stored one.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use dispatcher_model::EventId;

use super::committer::Committer;
use super::group::Waiting;
use crate::AppendError;
use crate::embedded::core::inbox::{Append, Placed};
use crate::embedded::core::prepared::{Prepared, Slot};
use crate::embedded::core::shared::Shared;
use crate::embedded::format::entry::Effects;
use crate::embedded::format::event_number::{lsn_of, number};
use crate::embedded::format::frame::{Frame, Kind};
use crate::embedded::format::record::{Dedup, DedupKey, Unreadable};
use crate::embedded::index::recent::NEVER_ASKED;
use crate::embedded::index::rows::{IndexError, Seen};
use crate::embedded::log::recent::TailFrame;
use crate::embedded::log::writer::DiskError;
use crate::embedded::platform::locks::read_lock;

/// What is known of an event's repetition key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// The event repeats that one.
    Repeats(EventId),
    /// The key is known, with other content.
    Reused,
    Nothing,
}

fn judge(shared: &Shared, seen: Option<Seen>, dedup: Dedup, now_ms: u64) -> Found {
    match seen {
        Some(seen) if seen.repeated_by(dedup.content, now_ms) => Found::Repeats(EventId::new(
            dispatcher_model::Timestamp::from_millis(seen.received_ms),
            shared.identity.store,
            seen.number,
        )),
        Some(seen) if seen.content != dedup.content => Found::Reused,
        _ => Found::Nothing,
    }
}

/// Looks keys up in the index on the receiving thread, so that the committer does not wait for it.
/// Returns what it found, and the state of the recent keys at that time.
pub(crate) fn known(
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
    tracing::debug!(key = ?&key[..4], count, "a repetition key came with other content: stored as a new event");
}

impl Committer {
    pub(crate) fn append(&mut self, mut append: Append) {
        match self.repeated(&mut append.request) {
            Ok(Some(first_end)) if append.request.new_events() == 0 => {
                return self.answer(append, first_end);
            }
            Ok(_) => {}
            Err(error) => return Self::refuse(append, &DiskError::Lookup(error.to_string())),
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
        let Append { mut request, reply } = append;
        let lsn = self.log.place(&mut request.frame);
        // The effects go to whom they concern.
        let effects = std::mem::replace(&mut request.effects, Effects::nothing());
        let entry = self.entry(lsn, &request.frame, effects);
        if let Effects::Request { received_ms, events, keys, routed } = &entry.effects {
            for &(place, Dedup { key, content }) in keys {
                let seen = Seen { number: number(lsn, place), received_ms: *received_ms, content };
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
    fn repeated(&mut self, request: &mut Prepared) -> Result<Option<u64>, IndexError> {
        let now_ms = request.received_at.as_millis();
        let missed = self.recent.missed(request.asked_at);
        let Effects::Request { events, keys, .. } = &request.effects else { return Ok(None) };
        let mut known_to = ((*events as usize) < request.slots.len()).then_some(0);
        let mut found = Vec::new();
        let mut newest: HashMap<DedupKey, (usize, u64)> = HashMap::new();
        for &(place, dedup) in keys {
            let place = usize::from(place);
            let earlier = if keys.len() > 1 {
                newest.insert(dedup.key, (place, dedup.content))
            } else {
                None
            };
            let mut seen = self.recent.get(&dedup.key);
            if seen.is_none() && missed && earlier.is_none() {
                match &*read_lock(&self.shared.index) {
                    Some(index) => seen = index.seen(&dedup.key, now_ms)?,
                    // A refused event might never be sent again; an accepted one may be stored twice.
                    None => self.shared.rebuild.unchecked(),
                }
            }
            match (earlier, judge(&self.shared, seen, dedup, now_ms)) {
                (Some((earlier, content)), _) => {
                    if content == dedup.content {
                        found.push((place, Slot::Same(earlier)));
                    } else {
                        reused(&self.shared, dedup.key);
                    }
                }
                (None, Found::Repeats(id)) => {
                    // The first is durable when the log is durable behind its place.
                    known_to = known_to.max(Some(lsn_of(id.number()) + 1));
                    found.push((place, Slot::Known(id)));
                }
                (None, Found::Reused) => reused(&self.shared, dedup.key),
                (None, Found::Nothing) => {}
            }
        }
        if !found.is_empty() {
            leave_out(request, &found).map_err(|error| IndexError::Request(error.to_string()))?;
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
