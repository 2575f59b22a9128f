//! Looks for stored events, the newest first: in the log from its end to its beginning, then among the events of removed
//! segments that are still needed.

use std::ops::ControlFlow;
use std::sync::Arc;

use dispatcher_model::{EventId, TargetNumber, Timestamp};
use tokio::sync::Semaphore;

use super::unreadable::stored;
use crate::embedded::core::blocking::blocking;
use crate::embedded::core::shared::Shared;
use crate::embedded::format::event_number::number;
use crate::embedded::format::stored_request::{Listed, Origin};
use crate::embedded::index::rows::{Order, Space, place, place_key, word};
use crate::{FoundEvent, Search, SearchPage, StoreError};

/// One search at a time: it reads as much as the disk gives.
static ONE: Semaphore = Semaphore::const_new(1);

/// Most events of removed segments that one page looks at.
const MOVED_MAX: usize = 1_000;

/// Most files of which a page says why they cannot be read.
const FILES_MAX: usize = 3;

pub(crate) async fn search(shared: &Arc<Shared>, wanted: Search) -> Result<SearchPage, StoreError> {
    // It is never closed. The work keeps it, because it goes on if the caller does not wait for it.
    let one = ONE.acquire().await.ok();
    let shared = shared.clone();
    blocking(move || {
        let _one = one;
        Pages { shared: &shared, page: SearchPage::default() }.read(&wanted)
    })
    .await
}

struct Pages<'a> {
    shared: &'a Shared,
    page: SearchPage,
}

impl Pages<'_> {
    fn read(mut self, search: &Search) -> Result<SearchPage, StoreError> {
        let mut before = search.before.map_or(u64::MAX, EventId::number);
        let mut bytes = 0;
        loop {
            if bytes > 0 && bytes >= search.bytes_max {
                self.page.next = Some(self.cursor(before));
                self.page.is_cut = true;
                return Ok(self.page);
            }
            let (mut newest, mut oldest) = (None::<Timestamp>, None::<Timestamp>);
            let mut wants = |listed: &Listed| {
                let received = listed.event.received_at;
                newest = newest.max(Some(received));
                oldest = Some(oldest.map_or(received, |oldest| oldest.min(received)));
                is_wanted(search, listed)
            };
            let Some(block) = self.shared.reader.block_before(before, &mut wants) else { break };
            self.page.back_to = oldest.or(self.page.back_to);
            self.page.unreadable.extend(block.unreadable);
            if let Some(why) = block.missing {
                self.cannot_read(number(block.begin, 0), why);
            }
            bytes += block.bytes;
            for listed in block.events.into_iter().rev() {
                if self.is_full(search) {
                    return Ok(self.page);
                }
                self.page.events.push(found(listed));
            }
            before = number(block.begin, 0);
            // Requests lie in the order of their receipt, unless the clock was set.
            if search.since.is_some_and(|since| newest.is_some_and(|newest| newest < since)) {
                return Ok(self.page);
            }
            std::thread::yield_now();
        }
        self.read_moved(search, before);
        Ok(self.page)
    }

    fn cannot_read(&mut self, place: u64, why: String) {
        self.page.unreadable.push(place);
        let files = &mut self.page.files;
        if files.len() < FILES_MAX && files.iter().all(|(_, named)| *named != why) {
            files.push((place, why));
        }
    }

    /// Where the next page begins.
    fn cursor(&self, before: u64) -> EventId {
        let at = self.page.back_to.unwrap_or_default();
        EventId::new(at, self.shared.identity.store, before)
    }

    /// Whether there is another event than the page takes.
    fn is_full(&mut self, search: &Search) -> bool {
        let is_full = self.page.events.len() >= search.max;
        if is_full {
            self.page.next = self.page.events.last().map(|event| event.id).or(search.before);
        }
        is_full
    }

    /// What was relocated when its segment was removed. Without an index it is left out, and the page says so.
    fn read_moved(&mut self, search: &Search, before: u64) {
        let end = before.min(number(self.shared.reader.start(), 0));
        let Some(last) = end.checked_sub(1) else { return };
        let mut numbers = Vec::new();
        let looked = self.shared.with_index(|index| {
            let keys = place_key(0)..=place_key(last);
            index.range(Space::Place, keys, Order::Descending, &mut |key, _| {
                numbers.extend(word(key, 0));
                let enough = numbers.len() > MOVED_MAX;
                Ok(if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })
        });
        if let Err(why) = looked {
            self.page.left_out = Some(why.to_string());
            return;
        }
        for (looked_at, number) in numbers.into_iter().enumerate() {
            if looked_at == MOVED_MAX {
                self.page.next = Some(self.cursor(number + 1));
                self.page.is_cut = true;
                return;
            }
            let origin = match self.shared.origin(number) {
                Ok(Some(origin)) => origin,
                Ok(None) => {
                    // It may be gone meanwhile.
                    let is_kept = self.shared.with_index(|index| place(index, number));
                    if is_kept.is_ok_and(|place| place.is_some()) {
                        self.page.unreadable.push(number);
                    }
                    continue;
                }
                Err(error) => {
                    self.cannot_read(number, error.to_string());
                    continue;
                }
            };
            self.page.back_to = Some(origin.event.received_at);
            let listed = listed(origin);
            if is_wanted(search, &listed) {
                if self.is_full(search) {
                    return;
                }
                self.page.events.push(found(listed));
            }
        }
    }
}

/// These events. `None`: it is not stored.
///
/// # Errors
/// [`StoreError::Unreadable`], among others.
pub(crate) fn by_ids(
    shared: &Shared,
    ids: Vec<EventId>,
) -> Result<Vec<Option<FoundEvent>>, StoreError> {
    let by_id = |id: EventId| Ok(stored(shared, id)?.map(|origin| found(listed(origin))));
    ids.into_iter().map(by_id).collect()
}

fn listed(origin: Origin) -> Listed {
    let targets = origin.targets.into_iter().map(TargetNumber).collect();
    Listed { event: origin.event, targets }
}

fn is_wanted(search: &Search, Listed { event, targets }: &Listed) -> bool {
    search.since.is_none_or(|since| event.received_at >= since) && (search.wanted)(event, targets)
}

fn found(Listed { event, targets }: Listed) -> FoundEvent {
    FoundEvent { id: event.id, source: event.source, attributes: event.attributes, targets }
}
