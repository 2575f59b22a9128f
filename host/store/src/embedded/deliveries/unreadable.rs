//! What of the log cannot be read becomes dead letters: the deliveries of a place, or those of one event.

use std::sync::Arc;

use dispatcher_model::{EventId, StoredEvent, Timestamp};

use crate::StoreError;
use crate::embedded::core::events::log_error;
use crate::embedded::core::shared::{Shared, Target};
use crate::embedded::format::event_number::{lsn_of, number};
use crate::embedded::format::stored_request::Origin;
use crate::embedded::log::reader::Damaged;
use crate::embedded::platform::locks::lock;
use crate::embedded::target::expire_range::ExpireRange;

/// Why what was at that place is given up.
pub(crate) fn lost_place(shared: &Shared, damaged: &Damaged) -> String {
    let place = shared.place(damaged.lsn);
    if damaged.repaired {
        return format!("the log was damaged at {place}, and repaired: what was there is lost");
    }
    shared.note_damage(damaged.lsn);
    format!("the log is damaged at {place}: what was there is lost")
}

/// The dead letter of a target that has reached a place that cannot be read. No released delivery is in it.
pub(crate) fn lost_range(
    shared: &Shared,
    target: &Target,
    from: u64,
    damaged: &Damaged,
) -> Result<(ExpireRange, Timestamp), StoreError> {
    let mut reason = lost_place(shared, damaged);
    let count = lost(shared, target, damaged.to)?;
    if count.is_none() {
        reason.push_str("; how many deliveries that were is not known, so they count as one");
    }
    shared.log_unreadable(&target.name, &reason);
    let at = shared.clock.wall();
    let (first, count) = (Some((number(damaged.lsn, 0), at)), count.unwrap_or(1));
    let range = ExpireRange { from, to: damaged.to, count, first, at, reason, drops: false };
    Ok((range, Timestamp::default()))
}

/// How many deliveries to the target were lost before the number `to`: those that wait, but are nowhere. `None` if that is
/// not known: another place cannot be read either, or the records that counted them are lost as well.
fn lost(shared: &Shared, target: &Target, to: u64) -> Result<Option<u64>, StoreError> {
    let (waiting, last, done) = {
        let live = lock(&target.live);
        let held = live.open.len() as u64 + live.counts.retrying;
        (live.counts.pending.saturating_sub(held), live.last_routed, live.done.clone())
    };
    let left = shared.reader.remaining(target.number, (to, last.unwrap_or(to)), &done);
    let left = left.map_err(|error| log_error(shared, &error))?;
    Ok(left.map(|left| waiting.saturating_sub(left)).filter(|lost| *lost > 0))
}

/// The place of an event that cannot be read; `None` if there never was one, or it was removed.
pub(crate) fn damaged(shared: &Shared, id: EventId) -> Result<Option<Damaged>, StoreError> {
    let lsn = lsn_of(id.number());
    if id.store() != shared.identity.store || lsn < shared.reader.start() {
        return Ok(None);
    }
    shared.reader.damaged_at(lsn).map_err(|error| log_error(shared, &error))
}

/// The stored event of that id; `None` if it is not stored.
///
/// # Errors
/// [`StoreError::Unreadable`] if the log is damaged there, among others.
pub(crate) fn stored(shared: &Shared, id: EventId) -> Result<Option<Origin>, StoreError> {
    let Some(origin) = shared.origin(id.number())? else {
        let Some(place) = damaged(shared, id)? else { return Ok(None) };
        return Err(StoreError::Unreadable { id, place: lost_place(shared, &place) });
    };
    Ok(Some(origin).filter(|origin| origin.event.id == id))
}

/// The same, from memory if it is there.
pub(crate) fn stored_event(
    shared: &Shared,
    id: EventId,
) -> Result<Option<Arc<StoredEvent>>, StoreError> {
    match shared.tail.event(id.number()) {
        Some(event) => Ok(Some(event).filter(|event| event.id == id)),
        None => Ok(stored(shared, id)?.map(|origin| Arc::new(origin.event))),
    }
}

/// Why the delivery of an event is given up that cannot be read.
pub(crate) fn lost_event(shared: &Shared, target: &Target, number: u64) -> String {
    let reason = format!("its event at {} can no longer be read", shared.place(lsn_of(number)));
    shared.note_damage(lsn_of(number));
    shared.log_unreadable(&target.name, &reason);
    reason
}
